(* Servers that answer before they have the request: the end of the response ends the sending (RFC
   9113 §8.1), at once, whatever the windows are. *)
open Check
module Client = Soil_http.Client
module Http2 = Soil_http.Http2
module Proxy = Soil_http.Proxy
module T = Soil.Task
module R = Soil.Reader

let frame = Test_http2_attacks.frame
let uri = Uri.of_string

(* What a server does: it answers after so many bytes of a body, and reads on without giving the
   client more windows. *)
type early = { after : int; window : int; resets : bool }

(* Frames by hand. *)
let serve_2 { after; window; resets } d =
  D.write_string d (frame 4 ("\000\004" ^ Test_http2_attacks.u32 window));
  let r = R.create d in
  ignore (R.take r (String.length Test_http2_attacks.preface));
  let rec go got answered =
    let head = R.take r 9 in
    let kind = String.get_uint8 head 3 in
    let stream = Int32.to_int (String.get_int32_be head 5) in
    let length = Int32.to_int (String.get_int32_be head 0) lsr 8 in
    ignore (R.take r length);
    let got = if kind = 0 then got + length else got in
    let answers = (not (List.mem stream answered)) && (kind = 0 || kind = 1) && got >= after in
    if answers then (
      D.write_string d (frame 1 ~flags:4 ~stream "\x88" ^ frame 0 ~flags:1 ~stream "early");
      if resets then D.write_string d (frame 3 ~stream (Test_http2_attacks.u32 0)));
    go got (if answers then stream :: answered else answered)
  in
  try go 0 [] with End_of_file | Soil.Error _ -> ()

(* HTTP/1.1: it reads no more. *)
let serve_1 { after; _ } d =
  let r = R.create d in
  let rec head () = if R.line r <> "" then head () in
  head ();
  ignore (R.take r after);
  D.write_string d "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly";
  Soil.Clock.sleep infinity

let connect scope serve ~host:_ ~port:_ =
  let ours, theirs = Soil.Flow.pair () in
  let run () = D.with_close theirs (fun d -> serve (d :> D.flow)) in
  ignore (T.spawn_daemon scope run);
  ours

let chunk = String.make 10_000 'x'

let bodies =
  [
    ("a short string", Client.String chunk);
    ("a string", String (String.make 1_000_000 'x'));
    ("a stream", Stream (None, fun sink -> for _ = 1 to 1000 do D.write_string sink chunk done));
    ("a stream with a length", Stream (Some 10_000_000, fun sink -> for _ = 1 to 1000 do D.write_string sink chunk done));
  ]
[@@ocamlformat "disable"]

let cases =
  [
    ("at once", { after = 0; window = 65535; resets = false });
    ("at once, with a reset", { after = 0; window = 65535; resets = true });
    ("closed windows", { after = 0; window = 0; resets = false });
    ("closed windows, with a reset", { after = 0; window = 0; resets = true });
    ("later", { after = 9_000; window = 65535; resets = false });
    ("later, with a reset", { after = 9_000; window = 65535; resets = true });
    ("in a window", { after = 9_000; window = 9_000; resets = false });
  ]

(* Virtual time passes where something waits; a poll takes a nanosecond. *)
let at_once what f =
  let begun = Soil.Clock.monotonic () in
  string what "early" (f ());
  Alcotest.(check (float 1e-6)) (what ^ ": seconds") 0. (Soil.Clock.monotonic () -. begun)

let post client body = snd (Client.post client (uri "http://a/") body)

let version_2 () =
  let one (name, early) (what, body) =
    T.scope @@ fun scope ->
    let connect = connect scope (serve_2 early) in
    let client = Client.own scope (Client.create ~http2:(Http2.client ()) ~connect ()) in
    at_once (name ^ ": " ^ what) (fun () -> post client body);
    at_once (name ^ ": " ^ what ^ ", again") (fun () -> post client body);
    int (name ^ ": connections") 1 (Client.opened client)
  in
  List.iter (fun case -> List.iter (one case) bodies) cases

let version_1 () =
  let one (name, early) (what, body) =
    T.scope @@ fun scope ->
    let client = Client.own scope (Client.create ~connect:(connect scope (serve_1 early)) ()) in
    at_once (name ^ ": " ^ what) (fun () -> post client body)
  in
  let open_windows = List.filter (fun (_, { window; _ }) -> window > 0) cases in
  List.iter (fun case -> List.iter (one case) bodies) open_windows

(* The function that writes the body ends before anything of the response is read. *)
let writer_ends () =
  let one (name, early) =
    T.scope @@ fun scope ->
    let connect = connect scope (serve_2 early) in
    let client = Client.own scope (Client.create ~http2:(Http2.client ()) ~connect ()) in
    let ended = T.Promise.create () in
    let write sink =
      Fun.protect
        ~finally:(fun () -> T.Promise.fulfil ended ())
        (fun () ->
          while true do
            D.write_string sink chunk
          done)
    in
    at_once name (fun () ->
        let body = Client.Stream (None, write) in
        let _, source = Client.open_ ~body ~patient:true scope client `POST (uri "http://a/") in
        T.Promise.await ended;
        D.read_all source)
  in
  List.iter one cases

(* A client of a proxy gets the answer likewise. *)
let through_a_proxy () =
  let one ~front (name, early) (what, body) =
    T.scope @@ fun scope ->
    let proxy =
      Proxy.create ~max_body:max_int ~http2:(Http2.client ())
        ~connect:(connect scope (serve_2 early))
        scope
        [ uri "http://b" ]
    in
    let http2 = if front then Some (Http2.server ()) else None in
    let serve d = Server.connection ?http2 d (Proxy.handle proxy) in
    let http2 = if front then Some (Http2.client ()) else None in
    let client = Client.own scope (Client.create ?http2 ~connect:(connect scope serve) ()) in
    at_once (name ^ ": " ^ what) (fun () -> post client body)
  in
  List.iter
    (fun case ->
      List.iter (one ~front:true case) bodies;
      List.iter (one ~front:false case) bodies)
    cases

(* A proxy that doesn't wait for a body *)

(* [f client] with a client of a proxy, which has sent this head. *)
let asking ?(eager = true) ~fields ~back serve f =
  T.scope @@ fun scope ->
  let http2 = if back then Some (Http2.client ()) else None in
  let proxy = Proxy.create ~eager ?http2 ~connect:(connect scope serve) scope [ uri "http://b" ] in
  let client = connect scope (fun d -> Server.connection d (Proxy.handle proxy)) ~host:"" ~port:0 in
  D.write_string client ("POST / HTTP/1.1\r\nHost: a\r\n" ^ fields ^ "\r\n");
  D.with_close client (fun client -> f (client, R.create client))

let line (_, r) =
  let line = R.line r in
  let rec rest () = if R.line r <> "" then rest () in
  rest ();
  line

let backend handler ~back d =
  Server.connection ?http2:(if back then Some (Http2.server ()) else None) d handler

let refusing =
  backend (fun _ ->
      Server.stream ~status:`Unauthorized (fun sink -> D.write_string sink "not without a token"))

let reading =
  backend (fun r -> Server.string (string_of_int (String.length (Server.body_string r))))

let expect = "Expect: 100-continue\r\n"
let unauthorized = "HTTP/1.1 401 Unauthorized"

(* The client sends nothing before it has an answer. *)
let eager () =
  let seconds wanted f =
    let begun = Soil.Clock.monotonic () in
    f ();
    Alcotest.(check (float 1e-6)) "seconds" wanted (Soil.Clock.monotonic () -. begun)
  in
  let one ~back (what, fields) =
    seconds 0. (fun () ->
        asking ~fields ~back (refusing ~back) (fun c -> string what unauthorized (line c)));
    seconds 0. (fun () ->
        asking ~fields:(fields ^ expect) ~back (refusing ~back) (fun c ->
            string (what ^ ", to be asked") unauthorized (line c)))
  in
  let both = [ ("a length", "Content-Length: 100000\r\n"); ("chunks", "Transfer-Encoding: chunked\r\n"); ("a short one", "Content-Length: 10\r\n") ] in
  List.iter (one ~back:false) both;
  List.iter (one ~back:true) both;
  (* Without the option a backend isn't asked before the body has come. *)
  asking ~eager:false ~fields:"Content-Length: 10\r\n" ~back:false (refusing ~back:false) (fun c ->
      string "not eager" "HTTP/1.1 408 Request Timeout" (line c))
[@@ocamlformat "disable"]

(* A client that waits to be asked is asked when the backend does so, or after a second. *)
let asked () =
  let body = String.make 50_000 'x' in
  let fields = "Content-Length: 50000\r\n" ^ expect in
  let sends what ~seconds serve ~back =
    asking ~fields ~back serve @@ fun ((client, r) as c) ->
    let begun = Soil.Clock.monotonic () in
    string what "HTTP/1.1 100 Continue" (line c);
    Alcotest.(check (float 1e-6)) "seconds" seconds (Soil.Clock.monotonic () -. begun);
    D.write_string client body;
    string what "HTTP/1.1 200 OK" (line c);
    string what "50000" (R.take r 5)
  in
  sends "HTTP/1.1" ~seconds:0. (reading ~back:false) ~back:false;
  sends "HTTP/2" ~seconds:0. (reading ~back:true) ~back:true;
  let silent d =
    let r = R.create d in
    let rec head () = if R.line r <> "" then head () in
    head ();
    let n = String.length (R.take r 50_000) in
    D.write_string d (Printf.sprintf "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n%d" n)
  in
  sends "a backend that doesn't ask" ~seconds:1. silent ~back:false

let tests =
  [
    in_virtual_time "a proxy that doesn't wait for the body" eager;
    in_virtual_time "a client that waits to be asked" asked;
    in_virtual_time "HTTP/2" version_2;
    in_virtual_time "HTTP/1.1" version_1;
    in_virtual_time "the writer ends first" writer_ends;
    in_virtual_time "through a proxy" through_a_proxy;
  ]
