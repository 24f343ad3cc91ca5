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
  fails_with "closed" Closed (fun () -> Z.receive client);
  let r, _ = Soil.pipe () in
  fails_with "kind" Wrong_kind (fun () -> Z.receive r);
  fails_with "kind" Wrong_kind (fun () -> Z.send r b 0 1)

(* RFC 9293, 3.8.5. *)
let urgent () =
  with_pair @@ fun server client ->
  int "nothing" 0 (Soil.Urgent.left server);
  fails_with "in its time" Timed_out (fun () -> Soil.Urgent.wait ~timeout:0.02 server);
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
  let r, _ = Soil.pipe () in
  fails_with "kind" Wrong_kind (fun () -> Soil.Urgent.left r);
  fails_with "after the end" Broken_pipe (fun () -> Soil.Urgent.send client b 0 1)

let tests =
  [
    in_run "without copies" without_copies;
    in_run "urgent data" urgent;
  ]
