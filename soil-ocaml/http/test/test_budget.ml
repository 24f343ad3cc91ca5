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

let tests =
  [
    in_run "what clients hold is counted" counts;
    in_run "slow clients are turned away" slow;
    in_run "a client for whom there is no room is turned away" newest;
    in_run "a working handler isn't interrupted" working;
  ]
