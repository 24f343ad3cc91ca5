(* The same over TLS, with a certificate and its key in PEM files: on port 443, or the port given as
   argument. A program of its own, since the other is smaller by half without TLS. *)

let seconds_between_looks = 5.
let complain e = prerr_endline ("website: " ^ Soil.Error.to_string e)
let read (chain, key) = (Soil.Fs.read_file chain, Soil.Fs.read_file key)

(* When the files change, new connections get what they hold; those that are there go on. Between
   the two files' changes they don't fit each other: the certificate from before stays. *)
let rec keep_up certificates files before =
  Soil.Clock.sleep seconds_between_looks;
  let now =
    match Soil.Error.catch (fun () -> read files) with
    | Ok now -> now
    | Error e ->
        complain e;
        before
  in
  (if now <> before then
     match Soil.Error.catch (fun () -> Soil_tls.replace certificates [ now ]) with
     | Ok () -> print_endline "website: new connections get the new certificate"
     | Error e -> complain e);
  keep_up certificates files now

let serve ~chain ~key port =
  Printexc.register_printer Soil.Error.printer;
  Soil.run @@ fun () ->
  let files = (chain, key) in
  let start () =
    let texts = read files in
    (texts, Soil_tls.certificates [ texts ])
  in
  match Soil.Error.catch start with
  | Error e ->
      complain e;
      exit 1
  | Ok (texts, certificates) ->
      Soil.Task.scope @@ fun scope ->
      ignore (Soil.Task.spawn_daemon scope (fun () -> keep_up certificates files texts));
      let config = Soil_tls.server_config ~protocols:[ "http/1.1" ] certificates in
      Site.run
        ~secure:(fun c -> (Soil_tls.server config c :> Soil.Flow.t))
        ~scheme:"https" ~default:443 port

let () =
  match Sys.argv with
  | [| _; chain; key |] -> serve ~chain ~key 443
  | [| _; chain; key; port |] -> serve ~chain ~key (Site.port port)
  | _ ->
      prerr_endline "usage: website CHAIN.pem KEY.pem [PORT]";
      exit 2
