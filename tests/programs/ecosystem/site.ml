(* soil-mirage.kv, soil-cohttp, soil-mirage.clock, soil-fmt: a site out of a store, as a functor. *)

let ( let* ) = Lwt.bind

(* A library's part: it knows signatures alone. *)
module Site (Store : Mirage_kv.RO) (Clock : Mirage_clock.PCLOCK) (Http : Cohttp.S.IO) = struct
  let date () = Fmt.str "%a" (Ptime.pp_rfc3339 ()) (Ptime.v (Clock.now_d_ps ()))

  let page store path =
    let key = Mirage_kv.Key.v path in
    let* kind = Store.exists store key in
    let key =
      match kind with Ok (Some `Dictionary) -> Mirage_kv.Key.(key / "index.html") | _ -> key
    in
    let* contents = Store.get store key in
    let* digest = Store.digest store key in
    Lwt.return
      (match (contents, digest) with
      | Ok contents, Ok digest -> (`OK, contents, [ ("etag", "\"" ^ Digest.to_hex digest ^ "\"") ])
      | Error (`Not_found _), _ -> (`Not_found, "no such page\n", [])
      | Error e, _ | _, Error e -> (`Internal_server_error, Fmt.str "%a\n" Store.pp_error e, []))
end

module S = Site (Soil_mirage_kv.Rw) (Soil_mirage_clock.Pclock) (Soil_cohttp.IO)

let fill root =
  let* store = Soil_mirage_kv.Rw.connect root in
  match store with
  | Error e -> Lwt.fail_with (Fmt.str "%a" Soil_mirage_kv.Rw.pp_write_error e)
  | Ok store ->
      let set (key, value) =
        let* result = Soil_mirage_kv.Rw.set store (Mirage_kv.Key.v key) value in
        Fmt.pr "set %s: %a@." key
          (Fmt.result ~ok:(Fmt.any "done") ~error:Soil_mirage_kv.Rw.pp_write_error)
          result;
        Lwt.return_unit
      in
      let* () =
        Lwt_list.iter_s set
          [
            ("/index.html", "<h1>Soil</h1>\n"); ("/docs/index.html", "docs\n"); ("/docs", "a value");
          ]
      in
      Lwt.return store

let serve store flow =
  let r = Soil.Reader.create flow and w = Soil.Writer.create flow in
  let rec next () =
    match Soil_cohttp.Request.read r with
    | `Eof -> Soil.File_descriptor.close flow
    | `Invalid e -> failwith e
    | `Ok request ->
        let path = Uri.path (Cohttp.Request.uri request) in
        let status, body, headers = Soil_lwt.run_promise (fun () -> S.page store path) in
        let encoding = Cohttp.Transfer.Fixed (Int64.of_int (String.length body)) in
        let headers = Cohttp.Header.of_list headers in
        let response = Cohttp.Response.make ~status ~encoding ~headers () in
        let write writer = Soil_cohttp.Response.write_body writer body in
        Soil_cohttp.Response.write ~flush:true write response w;
        Soil.Writer.flush w;
        next ()
  in
  next ()

let ask flow =
  let r = Soil.Reader.create flow and w = Soil.Writer.create flow in
  let get path =
    let request = Cohttp.Request.make (Uri.make ~scheme:"http" ~host:"soil" ~path ()) in
    Soil_cohttp.Request.write ~flush:true ignore request w;
    Soil.Writer.flush w;
    match Soil_cohttp.Response.read r with
    | `Ok response ->
        let reader = Soil_cohttp.Response.make_body_reader response r in
        let chunks = Soil_cohttp.chunks (fun () -> Soil_cohttp.Response.read_body_chunk reader) in
        Fmt.pr "%s: %s %a %S@." path
          (Cohttp.Code.string_of_status response.status)
          Fmt.(option ~none:(any "-") string)
          (Cohttp.Header.get response.headers "etag")
          (String.concat "" (List.of_seq chunks))
    | `Eof | `Invalid _ -> Fmt.pr "%s: no answer@." path
  in
  List.iter get [ "/"; "/docs"; "/none"; "/docs/index.html" ];
  Soil.File_descriptor.shutdown flow `Send

let () =
  Soil_lwt.run @@ fun () ->
  let store = Soil_lwt.run_promise (fun () -> fill "/memory/site") in
  let here, there = Soil.Flow.pair () in
  ignore (Soil.Task.both (fun () -> serve store there) (fun () -> ask here));
  Fmt.pr "a date: %b@." (String.length (S.date ()) = String.length "2026-01-01T00:00:00-00:00");
  let missing = Soil.Error.catch (fun () -> Soil.Fs.read_file "/memory/none") in
  Fmt.pr "%a@." (Soil_fmt.result ~ok:Fmt.string) missing;
  Fmt.pr "%a@." Soil_fmt.seconds 0.25
