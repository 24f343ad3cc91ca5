(* Clients that leave during a call: no exception of a handler's. *)
open Check
open App
module S = Grpc.Server
module Reader = Grpc.Reader
module T = Soil.Task

let rec every_second f =
  f ();
  Soil.Clock.sleep 1.;
  every_second f

let rpcs =
  [
    S.unary echo (fun _ s ->
        Soil.Clock.sleep 100.;
        s);
    S.client_stream join (fun _ r -> String.concat "" (all r));
    S.server_stream split (fun _ s send -> every_second (fun () -> send s));
    S.two_way chat (fun _ r send ->
        let tell () = every_second (fun () -> send "tell") in
        ignore (T.both tell (fun () -> Reader.iter ignore r)));
  ]

let calls =
  [
    ("unary", fun c -> ignore (Client.unary c echo "a"));
    ("requests", fun c -> ignore (Client.client_stream c join (fun send -> every_second (fun () -> send "a"))));
    ("responses", fun c -> Client.server_stream c split "a" (Reader.iter ignore));
    ("both ways", fun c ->
        Client.two_way c chat (fun sender r ->
            ignore (T.both (fun () -> every_second (fun () -> Client.send sender "a")) (fun () -> all r))));
  ]
[@@ocamlformat "disable"]

(* By the end of the call, or of the connection. *)
type leave = Cancel | Close

let visit leave (what, call) =
  let reported = ref [] in
  let note e = reported := Printexc.to_string e :: !reported in
  let handler = S.handler ~on_exception:(fun _ e _ -> note e) rpcs in
  T.scope (fun scope ->
      let ours = ref None in
      let connect ~host:_ ~port:_ =
        let client, server = Soil.Flow.pair () in
        ours := Some client;
        let http2 = if !is_http2 then Some (Soil_http.Http2.server ()) else None in
        let serve d = Server.connection ?http2 ~on_error:note d handler in
        ignore (T.spawn_daemon scope (fun () -> D.with_close server serve));
        client
      in
      let http2 = if !is_http2 then Some (Soil_http.Http2.client ()) else None in
      let http = Http_client.create ?http2 ~max_redirects:0 ~connect () in
      let c = Client.create http (Uri.of_string "http://a/") in
      let leave () =
        Soil.Clock.sleep 3.5;
        if leave = Close then Option.iter D.close !ours
      in
      (try T.first [ leave; (fun () -> call c) ] with Status.Failed _ | Soil.Error _ -> ());
      (* The server notices. *)
      Soil.Clock.sleep 10.;
      Http_client.close http);
  strings what [] !reported

let leavers leave () = Soil.Virtual_clock.run (fun () -> List.iter (visit leave) calls)

let tests =
  [ in_run "the end of a call" (leavers Cancel); in_run "of a connection" (leavers Close) ]
