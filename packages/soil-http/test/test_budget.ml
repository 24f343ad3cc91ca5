(* What clients make a server hold (Soil.Budget). *)
open Check
module B = Soil.Budget
module T = Soil.Task

let with_limit n f =
  let before = B.limit () in
  B.set_limit n;
  Fun.protect ~finally:(fun () -> B.set_limit before) f

let held () = (B.statistics ()).held

let rec until condition =
  if not (condition ()) then (
    T.yield ();
    until condition)

(* [f client] while the server has received [sent]. *)
let serving ?(handler = echo) sent f =
  let client, server = Soil.Flow.pair () in
  T.scope @@ fun scope ->
  let serve () = D.with_close server (fun server -> Server.connection server handler) in
  ignore (T.spawn scope serve);
  D.write_string client sent;
  D.with_close client f

let fields =
  String.concat "" (List.init 96 (fun n -> Printf.sprintf "X-%d: %s\r\n" n (String.make 150 'b')))

let unfinished = "GET / HTTP/1.1\r\nHost: a\r\n" ^ fields

let counts () =
  let before = held () in
  serving unfinished (fun client ->
      (* The connection, and a buffer for the head: no parts of it. *)
      until (fun () -> held () - before = 2048 + 16384);
      D.write_string client "\r\n";
      let answer = Bytes.create 4096 in
      ignore (D.read client answer 0 4096);
      until (fun () -> held () - before <= 2048 + 16384 + 16);
      ());
  until (fun () -> held () = before);
  let body n = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" ^ String.make n 'x' in
  (* The length is only announced. *)
  serving (body 1) (fun _ ->
      until (fun () -> held () > before + 2048 + 4096);
      for _ = 1 to 100 do T.yield () done;
      bool "as has come" true (held () - before < 2048 + 4096 + 4096 + 1024));
  serving (body 100_000) (fun _ -> until (fun () -> held () - before > 100_000));
  until (fun () -> held () = before)
[@@ocamlformat "disable"]

(* What a client gets that has sent [sent], while another needs its memory. *)
let turned_away sent =
  with_limit (held () + 40_000) @@ fun () ->
  serving sent @@ fun client ->
  let other = B.create () in
  Fun.protect ~finally:(fun () -> B.release other) @@ fun () ->
  until (fun () -> held () > 2048);
  for _ = 1 to 100 do
    T.yield ()
  done;
  B.grow ~patience:60. other 35_000;
  let text = D.read_all client in
  if text = "" then "closed" else status text

let slow () =
  let check what expected sent = string what expected (turned_away sent) in
  check "a head" "503" unfinished;
  check "a body" "503" "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx";
  check "a chunk" "503" "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx";
  check "idle" "closed" ""

let newest () =
  with_limit (held () + 20_000) @@ fun () ->
  let body = String.make 50_000 'x' in
  let sent = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n" ^ body in
  serving sent (fun client ->
      string "more than there is" "503" (status (D.read_all client)))
[@@ocamlformat "disable"]

(* One that works isn't slow, and its client gets its response. *)
let working () =
  with_limit (held () + 40_000) @@ fun () ->
  let started = T.Promise.create () and finish = T.Promise.create () in
  let handler _ =
    T.Promise.fulfil started ();
    T.Promise.await finish;
    Server.string "done"
  in
  serving ~handler (get ~fields:"Connection: close\r\n" "/") @@ fun client ->
  T.Promise.await started;
  let other = B.create () in
  (match B.grow ~patience:1.5 other 35_000 with
  | () -> Alcotest.fail "no room is free"
  | exception e when B.is_refusal e -> ());
  B.release other;
  T.Promise.fulfil finish ();
  string "answer" "200" (status (D.read_all client))

(* A page is there while it is compressed; without room for that it goes as it is. *)
let compressed () =
  let page = String.make 50_000 'x' and counted = ref 0 and before = held () in
  let headers = Cohttp.Header.init_with "content-type" "text/plain" in
  let ask string body =
    let coding = Soil_http.Encoding.coding "x" ~string ~stream:(fun write d -> write d) in
    let handler = Soil_http.Encoding.handler [ coding ] (fun _ -> body ()) in
    answers handler [ get ~fields:"Accept-Encoding: x\r\nConnection: close\r\n" "/" ]
  in
  let is_encoded text = List.mem "content-encoding: x" (String.split_on_char '|' (plain text)) in
  let short _ =
    T.yield ();
    counted := held () - before;
    "short"
  in
  let string () = Server.string ~headers page in
  let buffer () =
    Server.buffer ~headers (Bigarray.Array1.init Char C_layout 50_000 (fun _ -> 'x'))
  in
  List.iter
    (fun body ->
      bool "is encoded" true (is_encoded (ask short body));
      bool "counts" true (!counted >= 50_000))
    [ string; buffer ];
  let no_room _ =
    B.scratch (fun more -> more max_int);
    ""
  in
  let text = ask no_room string in
  Check.string "the page" "200" (status text);
  bool "as it is" false (is_encoded text);
  bool "wholly" true (String.ends_with ~suffix:page text);
  int "given back" before (held ())

(* Of a body in memory all counts that the client doesn't take. *)
let untaken () =
  let before = held () in
  let check body =
    serving
      ~handler:(fun _ -> body)
      (get "/")
      (fun _ -> until (fun () -> held () > before + 500_000));
    until (fun () -> held () = before)
  in
  check (Server.string (String.make 500_000 'x'));
  check (Server.buffer (Bigarray.Array1.init Char C_layout 500_000 (fun _ -> 'x')))

(* A field of a form counts as it comes. *)
let fields_of_forms () =
  let before = held () and got = ref 0 in
  let handler request =
    let form = Soil_http.Form.read request in
    got := String.length (List.assoc "a" form);
    Server.string "ok"
  in
  let field = String.make 60_000 'x' in
  let start = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" ^ field in
  let rest = "\r\n--b--\r\n" in
  let head =
    Printf.sprintf
      "POST / HTTP/1.1\r\n\
       Host: a\r\n\
       Content-Type: multipart/form-data; boundary=b\r\n\
       Content-Length: %d\r\n\
       \r\n"
      (String.length start + String.length rest)
  in
  serving ~handler (head ^ start) (fun client ->
      (* With the buffer of the parts. *)
      until (fun () -> held () - before > 60_000 + 16_384);
      D.write_string client rest;
      until (fun () -> !got = 60_000));
  until (fun () -> held () = before)

module Client = Soil_http.Client

(* What a client reads counts for the peer of its task while it comes. *)
let texts_of_clients () =
  let seen = T.Promise.create () and n = 600_000 in
  let handler _ =
    Server.stream (fun sink ->
        D.write_string sink (String.make n 'x');
        T.Promise.await seen)
  in
  let peer = B.create () in
  Fun.protect ~finally:(fun () -> B.release peer) @@ fun () ->
  Test_http2.with_server handler @@ fun client ->
  let get () = String.length (snd (Client.get client (Uri.of_string "http://a/"))) in
  let watch () =
    until (fun () -> B.bytes peer >= n);
    T.Promise.fulfil seen ()
  in
  let length, () = T.both (fun () -> B.run peer get) watch in
  int "all" n length

(* What a backend of HTTP/2 may send counts for the peer of the task that asks it, in advance. *)
let windows () =
  let sent = ref 0 and block = Bytes.make 1000 'x' in
  let endless _ =
    Server.stream (fun sink ->
        while true do
          D.write sink block 0 1000;
          sent := !sent + 1000
        done)
  in
  let peer = B.create () in
  Fun.protect ~finally:(fun () -> B.release peer) @@ fun () ->
  Test_http2.with_server endless @@ fun client ->
  let asking f =
    T.scope @@ fun scope ->
    sent := 0;
    let read () =
      let _, body = Client.open_ scope client `GET (Uri.of_string "http://a/") in
      let rec take n = if n > 0 then take (n - D.read body block 0 (min n 1000)) in
      f take
    in
    B.run peer read
  in
  let rest () =
    let rec go before times =
      T.yield ();
      if times > 0 then go !sent (if !sent = before then times - 1 else 100)
    in
    go !sent 100
  in
  (* And a head. *)
  let is what n = bool what true (B.bytes peer >= n && B.bytes peer < n + 500) in
  (* The connection is nobody's. *)
  T.scope (fun scope -> ignore (Client.open_ scope client `GET (Uri.of_string "http://a/")));
  asking (fun _ ->
      rest ();
      is "nobody reads" 65_535;
      bool "no more comes" true (!sent <= 65_535));
  int "given back" 0 (B.bytes peer);
  asking (fun read ->
      read 1_000_000;
      is "who reads gets more" 262_144;
      rest ();
      bool "no more than counts" true (!sent <= 1_000_000 + 262_144));
  int "given back, too" 0 (B.bytes peer);
  with_limit
    (held () + 120_000)
    (fun () ->
      asking (fun read ->
          read 1_000_000;
          is "not without memory" 65_535));
  with_limit
    (held () + 60_000)
    (fun () ->
      match asking (fun _ -> ()) with
      | () -> Alcotest.fail "a window without memory"
      | exception e -> bool "no room" true (B.is_refusal e));
  int "in the end" 0 (B.bytes peer)

(* Messages of several tasks for a client that takes nothing. *)
let queued () =
  let module W = Soil_http.Websocket in
  let before = held () in
  let handler request =
    W.accept request (fun ws ->
        T.scope @@ fun scope ->
        let send () = W.send ws (Text (String.make 50_000 'x')) in
        List.iter (fun _ -> ignore (T.spawn scope send)) [ 1; 2; 3; 4 ])
  in
  serving ~handler (Test_websocket.handshake ^ "\r\n") (fun _ ->
      T.timeout 10. (fun () -> until (fun () -> held () - before > 3 * 50_000)));
  until (fun () -> held () = before)

let tests =
  [
    in_run "pages that are compressed" compressed;
    in_run "bodies that nobody takes" untaken;
    in_run "fields of forms" fields_of_forms;
    in_run "texts of clients" texts_of_clients;
    in_virtual_time "windows of a client" windows;
    in_run "what clients hold is counted" counts;
    in_run "slow clients are turned away" slow;
    in_run "a client for whom there is no room is turned away" newest;
    in_run "a working handler isn't interrupted" working;
    in_run "messages behind another" queued;
  ]
