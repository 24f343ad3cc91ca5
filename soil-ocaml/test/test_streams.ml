(* The bytes of TCP connections by other ways than reading and writing. *)
open Check
open Loop

let without_copies () =
  let module Z = Soil.Zero_copy in
  let create = Bigarray.Array1.create Bigarray.char Bigarray.c_layout in
  with_pair @@ fun server client ->
  let b = create 500_000 in
  Bigarray.Array1.fill b 'x';
  let received = ref 0 in
  let rec receive () =
    match Z.with_received server Bigarray.Array1.dim with
    | Some n ->
        received := !received + n;
        receive ()
    | None -> ()
  in
  let send () =
    Z.send client b 0 0;
    Z.send client b 100 499_900;
    int "acknowledged" 0 (Soil.Tcp.info client).unacknowledged;
    D.shutdown client `Send
  in
  ignore (T.both send receive);
  int "received" 499_900 !received;
  bool "still at the end" true (Z.receive server = None);
  is_invalid "range" (fun () -> Z.send client b 1 500_000);
  fails_with "after the end" Broken_pipe (fun () -> Z.send client b 0 1);
  D.write_string server "hello";
  (match Z.receive client with
  | None -> Alcotest.fail "no lease"
  | Some lease ->
      let part = Bigarray.Array1.sub (Z.buffer lease) 1 3 in
      int "length" 5 (Bigarray.Array1.dim (Z.buffer lease));
      D.close client;
      Z.release lease;
      Z.release lease;
      int "over" 0 (Bigarray.Array1.dim (Z.buffer lease));
      string "a part" "ell" (String.init 3 (Bigarray.Array1.get part)));
  fails_with "closed" Closed (fun () -> Z.receive client)

(* RFC 9293, 3.8.5. *)
let urgent () =
  with_pair @@ fun server client ->
  int "nothing" 0 (Soil.Urgent.left server);
  fails_with "in its time" Timed_out (fun () -> Soil.Urgent.wait ~timeout:0.02 server);
  (match Soil.Urgent.send client Bytes.empty 0 1 with
  | () -> Alcotest.fail "sent what there isn't"
  | exception Invalid_argument _ -> ());
  bool "cancelled" true (T.timeout_opt 0.02 (fun () -> Soil.Urgent.wait server) = None);
  let send () =
    T.yield ();
    D.write_string client "before ";
    Soil.Urgent.send client (Bytes.of_string "now") 0 3;
    D.write_string client " after"
  in
  let n, () = T.both (fun () -> Soil.Urgent.wait ~timeout:patience server) send in
  bool "told" true (n = 0 || n = 10);
  Soil.Clock.sleep 0.02;
  int "up to its end" 10 (Soil.Urgent.left server);
  let b = Bytes.create 20 in
  D.really_read server b 0 4;
  int "less" 6 (Soil.Urgent.left server);
  D.really_read server b 4 6;
  string "in the stream" "before now" (Bytes.sub_string b 0 10);
  int "over" 0 (Soil.Urgent.wait ~timeout:patience server);
  D.really_read server b 0 6;
  string "the rest" " after" (Bytes.sub_string b 0 6);
  D.shutdown client `Send;
  int "at the end" 0 (Soil.Urgent.wait ~timeout:patience server);
  fails_with "after the end" Broken_pipe (fun () -> Soil.Urgent.send client b 0 1)

(* Urgent data stay urgent after a peek, and after a cancelled read gives them back. *)
let urgent_and_given_back () =
  with_pair @@ fun server client ->
  let b = Bytes.create 20 in
  D.write_string client "-";
  Soil.Urgent.send client (Bytes.of_string "now") 0 3;
  while (Soil.Tcp.info server).unread < 4 do
    Soil.Clock.sleep 0.001
  done;
  int "up to its end" 4 (Soil.Urgent.left server);
  int "looked at" 4 (D.peek server b 0 20);
  int "still" 4 (Soil.Urgent.left server);
  int "at once" 4 (Soil.Urgent.wait server);
  int "part" 2 (D.read server b 0 2);
  int "the rest" 2 (Soil.Urgent.left server);
  bool "cancelled" true (T.timeout_opt 0.01 (fun () -> D.really_read server b 0 3) = None);
  int "given back" 2 (Soil.Urgent.left server);
  D.write_string client "later";
  D.really_read server b 0 3;
  int "over" 0 (Soil.Urgent.left server);
  bool "not urgent, and there" true (D.peek server b 0 1 = 1 && Soil.Urgent.wait server = 0);
  D.really_read server b 0 4;
  string "in the stream" "ater" (Bytes.sub_string b 0 4)

let peeking () =
  with_pair @@ fun server client ->
  let text = String.init 50_000 (fun i -> Char.chr (((i * 7) + (i / 251)) land 255)) in
  let b = Bytes.create 60_000 in
  let peek d n = Bytes.sub_string b 0 (D.peek d b 0 n) in
  bool "waits" true (T.timeout_opt 0.01 (fun () -> D.peek server b 0 1) = None);
  D.write_string client (String.sub text 0 10);
  string "the first" (String.sub text 0 5) (peek server 5);
  D.write_string client (String.sub text 10 49_990);
  while (Soil.Tcp.info server).unread < 50_000 do
    Soil.Clock.sleep 0.001
  done;
  string "the same" (String.sub text 0 5) (peek server 5);
  bool "all, over several blocks" true (peek server 60_000 = text);
  int "nothing was taken" 50_000 (Soil.Tcp.info server).unread;
  D.really_read server b 0 20_000;
  bool "what follows" true (peek server 60_000 = String.sub text 20_000 30_000);
  D.shutdown client `Send;
  bool "read after all" true (D.read_all server = String.sub text 20_000 30_000);
  int "at the end" 0 (D.peek server b 0 1);
  let r, w = Soil.pipe () in
  D.write_string w "abc";
  string "a pipe" "ab" (peek r 2);
  D.write_string w "def";
  string "more of it" "abcdef" (peek r 100);
  D.close w;
  string "its bytes" "abcdef" (D.read_all r);
  is_invalid "range" (fun () -> D.peek r b 0 60_001);
  D.close r;
  fails_with "closed" Closed (fun () -> D.peek r b 0 1)

let tests =
  [
    in_run "urgent data given back" urgent_and_given_back;
    in_run "peeking" peeking;
    in_run "without copies" without_copies;
    in_run "urgent data" urgent;
  ]
