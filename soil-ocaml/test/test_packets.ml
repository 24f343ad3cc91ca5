(* UDP over the loopback, raw frames, the packet filter, echo requests. *)
open Check
open Loop

let datagrams () =
  let bind () = Soil.Udp.bind ~address:N.loopback ~port:0 () in
  D.with_close (bind ()) @@ fun a ->
  D.with_close (bind ()) @@ fun b ->
  let buffer = Bytes.create 64 in
  Soil.Udp.send_string a (Soil.Udp.local b) "ping";
  let n, from = Soil.Udp.receive b buffer 0 64 in
  string "received" "ping" (Bytes.sub_string buffer 0 n);
  bool "from" true (from = Soil.Udp.local a);
  Soil.Udp.send b from (Bytes.of_string "xpongx") 1 4;
  let n, _ = Soil.Udp.receive a buffer 0 2 in
  string "cut" "po" (Bytes.sub_string buffer 0 n);
  Soil.Udp.send_string a (Soil.Udp.local b) "";
  int "empty" 0 (fst (Soil.Udp.receive b buffer 0 64));
  bool "waits" true (T.timeout_opt 0.02 (fun () -> Soil.Udp.receive a buffer 0 64) = None);
  fails_with "too long" Message_too_long (fun () ->
      Soil.Udp.send_string a (Soil.Udp.local b) (String.make 65_508 'x'));
  fails_with "in use" Address_in_use (fun () ->
      Soil.Udp.bind ~address:N.loopback ~port:(Soil.Udp.local a).port ())

let batches () =
  let bind () = Soil.Udp.bind ~address:N.loopback ~port:0 () in
  D.with_close (bind ()) @@ fun a ->
  D.with_close (bind ()) @@ fun b ->
  let buffer = Bigarray.Array1.create Bigarray.char Bigarray.c_layout 64 in
  Bigarray.Array1.fill buffer 'x';
  let to_b = Soil.Udp.local b in
  int "taken" 3 (Soil.Udp.send_batch a buffer ~slot:16 [ (5, to_b); (0, to_b); (16, to_b) ]);
  Soil.Clock.sleep 0.01;
  let received = Soil.Udp.receive_batch b buffer ~slot:8 4 in
  bool "lengths" true (List.map fst received = [ 5; 0; 8 ]);
  bool "senders" true (List.for_all (fun (_, e) -> e = Soil.Udp.local a) received);
  is_invalid "too many" (fun () -> Soil.Udp.receive_batch b buffer ~slot:16 5);
  is_invalid "too long" (fun () -> Soil.Udp.send_batch a buffer ~slot:4 [ (5, to_b) ]);
  (* One peer only: what another one sends isn't heard. *)
  D.with_close (bind ()) @@ fun c ->
  Soil.Udp.connect b (Some (Soil.Udp.local c));
  Soil.Udp.send_string a to_b "from a";
  Soil.Udp.send_string c to_b "from c";
  let bytes = Bytes.create 16 in
  let n, from = Soil.Udp.receive ~timeout:patience b bytes 0 16 in
  string "the peer's" "from c" (Bytes.sub_string bytes 0 n);
  bool "the peer" true (from = Soil.Udp.local c);
  Soil.Udp.connect b None;
  (* The one that wasn't heard was answered, port unreachable, which tells only a socket with one
     peer. *)
  Soil.Udp.send_string a to_b "again";
  int "everybody again" 5 (fst (Soil.Udp.receive ~timeout:patience b bytes 0 16));
  fails_with "no group" Invalid (fun () -> Soil.Udp.join b N.loopback);
  is_invalid "hops" (fun () -> Soil.Udp.set_multicast_hops b 256)

let sources () =
  let v4 = N.Address.of_string in
  D.with_close (Soil.Udp.bind ~port:0 ()) @@ fun server ->
  D.with_close (Soil.Udp.bind ~address:N.loopback ~port:0 ()) @@ fun client ->
  let asked = N.endpoint (v4 "127.0.0.5") (Soil.Udp.local server).port in
  Soil.Udp.connect client (Some asked);
  let buffer = Bytes.create 8 in
  let answer_from source =
    Soil.Udp.send_string client asked "question?";
    let question = Soil.Udp.receive_to ~timeout:patience server buffer 0 8 in
    int "cut" 8 question.length;
    bool "sender" true (question.peer = Soil.Udp.local client);
    bool "destination" true (N.Address.equal question.destination asked.address);
    bool "local" true (N.Address.equal question.local.address asked.address);
    Soil.Udp.send_from ~from:(source question) server question.peer (Bytes.of_string "<yes>") 1 3
  in
  (* The peer hears only the address that it asked. *)
  answer_from (fun q -> { q.local with address = N.any });
  answer_from (fun q -> q.local);
  let n, from = Soil.Udp.receive ~timeout:patience client buffer 0 8 in
  string "answer" "yes" (Bytes.sub_string buffer 0 n);
  bool "from where it asked" true (from = asked);
  let send address interface =
    Soil.Udp.send_from ~from:{ address; interface } server asked buffer 0 1
  in
  fails_with "a stranger's" Address_not_available (fun () -> send (v4 "192.0.2.1") None);
  fails_with "no interface" No_device (fun () -> send N.any (Some 999));
  is_invalid "an interface" (fun () -> send N.any (Some (-1)));
  is_invalid "too long" (fun () -> Soil.Udp.receive_to server buffer 1 8)

let filters () =
  fails_with "not a rule" Bad_configuration (fun () -> N.filter [ "forbid everything" ]);
  N.filter [ "deny in tcp port 1"; "allow in icmp limit 5 5 each" ];
  N.filter [];
  fails_with "no interface" No_device (fun () -> Soil.Ethernet.open_ 0x88b5);
  is_invalid "a length" (fun () -> Soil.Ethernet.open_ 100)

let pings () =
  let reply = Soil.Icmp.ping N.loopback in
  bool "the machine itself" true (reply.time >= 0. && reply.time < 1. && reply.hop_limit = 64);
  ignore (Soil.Icmp.ping ~length:0 (N.Address.of_string "::1"));
  ignore (Soil.Icmp.ping ~length:65_000 N.loopback);
  is_invalid "length" (fun () -> Soil.Icmp.ping ~length:65_001 N.loopback);
  string "no network" "no network" (error_code (fun () -> Soil.Icmp.ping (N.v4 192 0 2 1)));
  bool "routes" true (Soil.Routing.routes () = []);
  fails_with "no interface" No_device (fun () -> Soil.Routing.add_vlan ~interface:0 7)

let tests =
  [
    in_run "datagrams" datagrams;
    in_run "batches of datagrams, and one peer" batches;
    in_run "datagrams from the address asked" sources;
    in_run "packet filter and raw frames without a card" filters;
    in_run "ping and routes" pings;
  ]
