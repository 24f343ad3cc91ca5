(* Clients that leave: no exception of a handler's, whatever it does meanwhile. *)
open Check
module Events = Soil_http.Events
module Http2 = Soil_http.Http2
module Proxy = Soil_http.Proxy
module Websocket = Soil_http.Websocket
module T = Soil.Task

(* How a client leaves: a stream alone, the connection, by a reset of it, or by taking nothing. *)
type leave = Stream | Close | Break | Stall

let name = function
  | Stream -> "a reset of the stream"
  | Close -> "the end of the connection"
  | Break -> "a reset of the connection"
  | Stall -> "a stall"

let copy src dst = ignore (D.copy ~src ~dst ())

(* What a client sends after the head of its request, and again once it has the response's. *)
type talk = {
  upgrade : bool;
  post : bool;
  sends : string;
  handler : Server.request -> Server.response;
}

let get handler = { upgrade = false; post = false; sends = ""; handler }
let post handler = { upgrade = false; post = true; sends = "a part of it"; handler }
let text = Test_websocket.frame 0x81 "hello"
let upgrade handler = { upgrade = true; post = false; sends = text; handler }
let chunk = String.make 10_000 'x'

let talks =
  [
    ("WebSocket", upgrade (fun r -> Websocket.accept r (fun ws -> Websocket.iter (Websocket.send ws) ws)));
    ("WebSocket in two tasks", upgrade (fun r ->
         Websocket.accept r (fun ws ->
             let rec tell () = Websocket.send ws (Text chunk); Soil.Clock.sleep 0.5; tell () in
             ignore (T.both tell (fun () -> Websocket.iter ignore ws)))));
    ("an upgrade", upgrade (fun _ ->
         Server.upgrade "websocket" (fun flow -> copy flow flow; D.shutdown flow `Send)));
    ("an upgrade that ends later", upgrade (fun _ ->
         Server.upgrade "websocket" (fun flow -> Soil.Clock.sleep 5.; D.shutdown flow `Send)));
    ("an upgrade in two tasks", upgrade (fun _ ->
         Server.upgrade "websocket" (fun flow ->
             let rec tell () = D.write_string flow chunk; Soil.Clock.sleep 0.5; tell () in
             ignore (T.both tell (fun () -> ignore (D.read_all flow))))));
    ("events", get (fun _ ->
         Events.stream ~keep_alive:0.5 (fun t ->
             while true do Events.send t (Events.message chunk); Soil.Clock.sleep 0.7 done)));
    ("silent events", get (fun _ -> Events.stream ~keep_alive:0.5 (fun _ -> Soil.Clock.sleep infinity)));
    ("a stream", get (fun _ -> Server.stream (fun sink -> while true do D.write_string sink chunk; Soil.Clock.sleep 0.5 done)));
    ("a stream of two tasks", get (fun _ ->
         Server.stream (fun sink ->
             let rec tell () = D.write_string sink chunk; Soil.Clock.sleep 0.5; tell () in
             ignore (T.both tell tell))));
    ("an upload", post (fun r -> Server.string (Server.body_string r)));
    ("an upload that comes back", post (fun r ->
         let body = Server.body r in
         Server.stream (fun sink -> copy body sink)));
    ("an upload in two tasks", post (fun r ->
         let body = Server.body r in
         Server.stream (fun sink ->
             let rec tell () = D.write_string sink chunk; Soil.Clock.sleep 0.5; tell () in
             ignore (T.both tell (fun () -> ignore (D.read_all body))))));
    ("an upload that is refused late", post (fun r ->
         let body = Server.body ~max:5 r in
         Server.stream (fun sink -> D.write_string sink "begun"; copy body sink)));
  ]
[@@ocamlformat "disable"]

(* A flow whose other end can break it. *)
let breakable flow is_broken =
  let broken operation = Soil.Error.fail Connection_reset operation ~subject:"flow" in
  let guard operation f =
    if !is_broken then broken operation;
    match f () with
    | n when !is_broken ->
        ignore n;
        broken operation
    | n -> n
    | exception Soil.Error _ when !is_broken -> broken operation
  in
  Soil.Flow.make
    ~read:(fun b off len -> guard "read" (fun () -> D.read flow b off len))
    ~write:(fun b off len -> guard "write" (fun () -> D.write_some flow b off len))
    ~shutdown:(fun how -> guard "shutdown" (fun () -> D.shutdown flow how))
    ~close:(fun () -> D.close flow)
    ()

let head_1 talk =
  if talk.upgrade then Test_websocket.handshake ^ "\r\n"
  else if talk.post then "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
  else Check.get "/"

let head_2 talk =
  let module A = Test_http2_attacks in
  let websocket = [ (":protocol", "websocket"); ("sec-websocket-version", "13") ] in
  let head =
    if talk.upgrade then
      A.frame 1 ~flags:4 ~stream:1 (A.request ~meth:"CONNECT" ~fields:websocket "/")
    else if talk.post then A.post 1 "/"
    else A.get 1 "/"
  in
  A.preface ^ A.settings ^ head

(* A client talks, by a handler of HTTP/2 or 1.1, and leaves. *)
let visit connection ~http2 talk leave =
  let client, server = Soil.Flow.pair () in
  let is_broken = ref false in
  let serve () = D.with_close (breakable server is_broken) (connection ~http2) in
  let take () =
    let b = Bytes.create 4096 in
    let rec go () = match D.read client b 0 4096 with 0 -> () | _ -> go () in
    try go () with Soil.Error _ -> ()
  in
  let ask () =
    let say text = try D.write_string client text with Soil.Error _ -> () in
    let say_more () =
      if talk.sends <> "" then
        say (if http2 then Test_http2_attacks.frame 0 ~stream:1 talk.sends else talk.sends)
    in
    T.scope @@ fun scope ->
    say (if http2 then head_2 talk else head_1 talk);
    if leave <> Stall then ignore (T.spawn_daemon scope take);
    Soil.Clock.sleep 1.;
    say_more ();
    Soil.Clock.sleep 1.;
    (match leave with
    | Stream -> say (Test_http2_attacks.rst_stream 1)
    | Close -> ()
    | Break -> is_broken := true
    | Stall -> Soil.Clock.sleep 10_000.);
    if leave = Stream then Soil.Clock.sleep 1.;
    D.close client
  in
  ignore (T.both serve ask)

let leaves ~http2 = if http2 then [ Stream; Close; Break; Stall ] else [ Close; Break; Stall ]

(* All that servers report while clients leave [connection], which gets a function for that. *)
let check ~http2 connection =
  List.iter
    (fun (what, talk) ->
      List.iter
        (fun leave ->
          let reported = ref [] in
          let on_error e = reported := Printexc.to_string e :: !reported in
          T.scope (fun scope -> visit (connection scope ~on_error talk.handler) ~http2 talk leave);
          strings (what ^ ", " ^ name leave) [] !reported)
        (leaves ~http2))
    talks

let serve ?on_disconnect ~on_error handler ~http2 d =
  let http2 = if http2 then Some (Http2.server ()) else None in
  Server.connection ?http2 ?on_disconnect ~on_error d handler

(* The handler is cancelled, or finds out itself. *)
let directly ~http2 on_disconnect () =
  check ~http2 (fun _ ~on_error handler -> serve ~on_disconnect ~on_error handler)

(* The proxy is a client of the backend's that leaves, too. *)
let through_a_proxy ~front ~back () =
  check ~http2:front (fun scope ~on_error handler ->
      let connect ~host:_ ~port:_ =
        let ours, theirs = Soil.Flow.pair () in
        let run () = D.with_close theirs (serve ~on_error handler ~http2:back) in
        ignore (T.spawn_daemon scope run);
        ours
      in
      let http2 = if back then Some (Http2.client ()) else None in
      let proxy = Proxy.create ?http2 ~connect ~on_failure:(fun _ _ -> ()) scope [ Uri.of_string "http://b" ] in
      serve ~on_error (Proxy.handle proxy))
[@@ocamlformat "disable"]

let tests =
  [
    in_virtual_time "HTTP/2" (directly ~http2:true `Cancel);
    in_virtual_time "HTTP/1.1" (directly ~http2:false `Cancel);
    in_virtual_time "HTTP/2, to the end" (directly ~http2:true `Finish);
    in_virtual_time "HTTP/1.1, to the end" (directly ~http2:false `Finish);
    in_virtual_time "a proxy from 2 to 2" (through_a_proxy ~front:true ~back:true);
    in_virtual_time "a proxy from 2 to 1.1" (through_a_proxy ~front:true ~back:false);
    in_virtual_time "a proxy from 1.1 to 2" (through_a_proxy ~front:false ~back:true);
    in_virtual_time "a proxy from 1.1 to 1.1" (through_a_proxy ~front:false ~back:false);
  ]
