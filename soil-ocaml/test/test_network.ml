(* TCP and UDP over the loopback, which needs no device and no privileges. *)
open Check
module D = Soil.File_descriptor
module N = Soil.Net

let listen ?backlog () = Soil.Tcp.listen ?backlog ~address:N.loopback ~port:0 ()

(* The two ends of a connection, and all closed afterwards. *)
let with_pair f =
  D.with_close (listen ()) @@ fun l ->
  let server, client =
    T.both (fun () -> Soil.Tcp.accept l) (fun () -> Soil.Tcp.connect (Soil.Tcp.local l))
  in
  D.with_close server @@ fun server ->
  D.with_close client @@ fun client -> f server client

let both_ways () =
  with_pair @@ fun server client ->
  let text seed = String.init 300_000 (fun i -> Char.chr (((i * seed) + (i / 251)) land 255)) in
  let send d s () =
    D.write_string d s;
    D.shutdown d `Send;
    ""
  in
  let receive d () = D.read_all d in
  let results =
    T.all
      [
        send server (text 3); receive client; send client (text 7); receive server;
      ]
    [@ocamlformat "disable"]
  in
  bool "as sent" true (results = [ ""; text 3; ""; text 7 ])

let addresses () =
  with_pair @@ fun server client ->
  bool "peer of one is the other" true
    (Soil.Tcp.peer server = Soil.Tcp.local client && Soil.Tcp.local server = Soil.Tcp.peer client);
  bool "kinds" true (D.kind server = Tcp && D.kind client = Tcp);
  string "name" ("tcp " ^ N.endpoint_to_string (Soil.Tcp.peer client)) (D.name client);
  Soil.Tcp.set_nodelay client false;
  Soil.Tcp.keepalive client (Some 1.);
  Soil.Tcp.keepalive client None;
  is_invalid "interval" (fun () -> Soil.Tcp.keepalive client (Some (-1.)));
  D.close client;
  fails_with "closed" Closed (fun () -> Soil.Tcp.peer client);
  string "name after close" "tcp connection" (D.name client)

let wrong_kinds () =
  let r, w = Soil.pipe () in
  fails_with "accept" Wrong_kind (fun () -> Soil.Tcp.accept r);
  fails_with "peer" Wrong_kind (fun () -> Soil.Tcp.peer w);
  fails_with "local" Wrong_kind (fun () -> Soil.Tcp.local w);
  D.with_close (listen ()) @@ fun l ->
  fails_with "read" Wrong_kind (fun () -> D.read l (Bytes.create 1) 0 1);
  fails_with "write" Wrong_kind (fun () -> D.write_string l "x");
  fails_with "peer of a listener" Wrong_kind (fun () -> Soil.Tcp.peer l)

let refused () =
  let l = listen () in
  let e = Soil.Tcp.local l in
  D.close l;
  string "message"
    ("tcp connect " ^ N.endpoint_to_string e ^ ": connection refused")
    (match Soil.Tcp.connect e with
    | _ -> "connected"
    | exception Soil.Error e -> Soil.Error.to_string e);
  fails_with "by name" Connection_refused (fun () -> Soil.Tcp.connect_host "localhost" ~port:e.port);
  is_invalid "port" (fun () -> Soil.Tcp.connect_host "localhost" ~port:65536);
  is_invalid "port 0" (fun () -> Soil.Tcp.connect (N.endpoint N.loopback 0))

let in_use () =
  D.with_close (listen ()) @@ fun l ->
  let port = (Soil.Tcp.local l).port in
  fails_with "twice" Address_in_use (fun () -> Soil.Tcp.listen ~address:N.loopback ~port ());
  (* What was said of it isn't said of the next failure, which has no text. *)
  let detail f = match f () with _ -> "none" | exception Soil.Error e -> e.detail in
  bool "a text" true (detail (fun () -> Soil.Tcp.listen ~address:N.loopback ~port ()) <> "");
  D.close l;
  string "its own text" "" (detail (fun () -> Soil.Tcp.accept l));
  is_invalid "port" (fun () -> Soil.Tcp.listen ~port:(-1) ());
  is_invalid "backlog" (fun () -> Soil.Tcp.listen ~backlog:0 ~port:0 ())

let ends () =
  ( with_pair @@ fun server client ->
    D.write_string client "last words";
    D.close client;
    string "what was sent is delivered" "last words" (D.read_all server) );
  ( with_pair @@ fun server client ->
    Soil.Tcp.abort client;
    fails_with "reset" Connection_reset (fun () -> D.read server (Bytes.create 1) 0 1) );
  with_pair @@ fun server client ->
  D.close client;
  let block = Bytes.create 65536 in
  let rec write_until_it_fails n =
    if n = 0 then "never failed"
    else
      match D.write server block 0 65536 with
      | () -> write_until_it_fails (n - 1)
      | exception Soil.Error { code = Broken_pipe | Connection_reset; _ } -> "failed"
  in
  string "nobody reads" "failed" (write_until_it_fails 1000)

let cancelled () =
  let outcome f =
    match T.timeout_opt 0.02 f with Some _ -> Alcotest.fail "it didn't wait" | None -> ()
  in
  D.with_close (listen ()) (fun l ->
      outcome (fun () -> D.close (Soil.Tcp.accept l));
      let c, s =
        T.both (fun () -> Soil.Tcp.connect (Soil.Tcp.local l)) (fun () -> Soil.Tcp.accept l)
      in
      D.close c;
      D.close s);
  with_pair @@ fun server client ->
  outcome (fun () -> ignore (D.read server (Bytes.create 1) 0 1));
  outcome (fun () ->
      let block = Bytes.create 65536 in
      while true do
        D.write client block 0 65536
      done);
  bool "still there" true (D.read server (Bytes.create 10) 0 10 = 10)

let closed_while_waiting () =
  let l = listen () in
  T.scope (fun s ->
      let t = T.spawn s (fun () -> error_code (fun () -> Soil.Tcp.accept l)) in
      T.yield ();
      D.close l;
      string "accept" "descriptor is closed" (T.await t));
  with_pair @@ fun server _client ->
  T.scope (fun s ->
      let t = T.spawn s (fun () -> error_code (fun () -> D.read server (Bytes.create 1) 0 1)) in
      T.yield ();
      D.close server;
      string "read" "descriptor is closed" (T.await t))

let ask e =
  Soil.Tcp.with_connection e (fun c ->
      D.shutdown c `Send;
      D.read_all c)

let serving () =
  let l = listen () in
  let now = ref 0 and most = ref 0 and served = ref 0 in
  let handler c =
    incr now;
    most := max !most !now;
    (* The first ones wait for as many as there may be. *)
    while !most < 3 do
      Soil.Clock.sleep 0.002
    done;
    Soil.Clock.sleep 0.002;
    D.write_string c "hello";
    decr now;
    incr served
  in
  T.scope (fun s ->
      let server = T.spawn s (fun () -> Soil.Tcp.serve ~max_connections:3 l handler) in
      let answers = T.all (List.init 20 (fun _ () -> ask (Soil.Tcp.local l))) in
      bool "answers" true (List.for_all (( = ) "hello") answers);
      int "at most 3 at once" 3 !most;
      D.close l;
      T.await server);
  int "served" 20 !served;
  is_invalid "max" (fun () -> Soil.Tcp.serve ~max_connections:0 l ignore)

let failing_handler () =
  let l = listen () in
  T.scope (fun s ->
      let turn = ref 0 in
      let handler c =
        incr turn;
        if !turn = 1 then failwith "expected by the test" else D.write_string c "second"
      in
      ignore (T.spawn s (fun () -> Soil.Tcp.serve l handler));
      string "first" "" (ask (Soil.Tcp.local l));
      string "second" "second" (ask (Soil.Tcp.local l));
      D.close l)

(* What [serve] passes on, and what it is quiet about: the connection's own ends only. *)
let errors_of_handlers () =
  let l = listen () in
  let passed = ref [] in
  let on_error c e =
    bool "open" true (D.is_open c);
    let words = match e with Soil.Error e -> Soil.Error.message e.code | e -> Printexc.to_string e in
    passed := words :: !passed
  in
  (* What the peer does, and what the handler does: [d] is another connection whose peer has reset it. *)
  let reset_pair () =
    D.with_close (listen ()) @@ fun l ->
    let d = Soil.Tcp.connect (Soil.Tcp.local l) in
    Soil.Tcp.abort (Soil.Tcp.accept l);
    d
  in
  let byte d = ignore (D.read d (Bytes.create 1) 0 1) in
  let block = String.make 65536 'x' in
  let rec write_on d = D.write_string d block; write_on d in
  let cases =
    [
      (Soil.Tcp.abort, byte, None);
      (Soil.Tcp.abort, (fun c -> Soil.Clock.sleep 0.005; write_on c), None);
      (D.close, write_on, None);
      (Soil.Tcp.abort, (fun c -> Soil.Clock.sleep 0.005; ignore (Soil.Zero_copy.receive c)), None);
      ( Soil.Tcp.abort,
        (fun c ->
          let b = Bigarray.Array1.create Bigarray.char Bigarray.c_layout 100 in
          Soil.Clock.sleep 0.005;
          Soil.Zero_copy.send c b 0 100),
        None );
      (ignore, (fun _ -> D.with_close (reset_pair ()) byte), Some "connection reset by peer");
      (ignore, (fun _ -> D.with_close (reset_pair ()) write_on), Some "connection reset by peer");
      (ignore, (fun c -> T.timeout 0.005 (fun () -> byte c)), Some "timed out");
      (ignore, (fun c -> ignore (Soil.Zero_copy.receive ~timeout:0.005 c)), Some "timed out");
      (Soil.Tcp.abort, (fun c -> try byte c with Soil.Error e -> raise (Soil.Error { e with operation = "mine" })),
       Some "connection reset by peer");
      ( ignore,
        (fun _ ->
          let r, w = Soil.pipe () in
          D.close r;
          D.write_string w "x"),
        Some "broken pipe" );
      (ignore, (fun c -> D.close c; byte c), Some "descriptor is closed");
      (ignore, (fun _ -> raise Exit), Some "Stdlib.Exit");
      (ignore, (fun _ -> raise T.Cancelled), Some (Printexc.to_string T.Cancelled));
    ]
  in
  let on_error c e = if D.is_open c then on_error c e else passed := error_code (fun () -> raise e) :: !passed in
  T.scope (fun s ->
      let turn = ref ignore in
      let server = T.spawn s (fun () -> Soil.Tcp.serve ~on_error l (fun c -> !turn c)) in
      List.iteri
        (fun i (peer, handler, expected) ->
          passed := [];
          let ended = T.Promise.create () in
          (turn := fun c -> Fun.protect ~finally:(T.Promise.fulfil ended) (fun () -> handler c));
          let c = Soil.Tcp.connect (Soil.Tcp.local l) in
          peer c;
          T.Promise.await ended;
          T.yield ();
          strings ("case " ^ string_of_int i) (Option.to_list expected) !passed;
          D.close c)
        cases;
      D.close l;
      T.await server);
  (* What [on_error] raises ends [serve], and cancels what runs. *)
  let l = listen () in
  let unwound = ref 0 in
  let handler c =
    match D.read c (Bytes.create 1) 0 1 with
    | _ -> raise Exit
    | exception T.Cancelled -> incr unwound; raise T.Cancelled
  in
  T.scope (fun s ->
      let server =
        T.spawn_result s (fun () -> Soil.Tcp.serve ~on_error:(fun _ e -> raise e) l handler)
      in
      let waits = Soil.Tcp.connect (Soil.Tcp.local l) in
      let fails = Soil.Tcp.connect (Soil.Tcp.local l) in
      D.write_string fails "x";
      bool "raised" true (T.await server = Error Exit);
      int "cancelled" 1 !unwound;
      D.close waits;
      D.close fails);
  D.close l
[@@ocamlformat "disable"]

(* Cancelled, [serve] lets what runs end in its time, and no longer. *)
let grace ~seconds ~work =
  let l = listen () in
  let ended = ref "no end" in
  T.scope (fun s ->
      let handler _ =
        match Soil.Clock.sleep work with
        | () -> ended := "by itself"
        | exception T.Cancelled ->
            ended := "cancelled";
            raise T.Cancelled
      in
      let server = T.spawn s (fun () -> Soil.Tcp.serve ~grace:seconds l handler) in
      Soil.Tcp.with_connection (Soil.Tcp.local l) (fun _ ->
          Soil.Clock.sleep 0.02;
          T.cancel server;
          match T.await server with
          | () -> Alcotest.fail "not cancelled"
          | exception T.Cancelled -> ()));
  D.close l;
  !ended

(* [serve] that has no listener any more waits for its connections, and can be cancelled all the same. *)
let cancelled_after_the_end () =
  let l = listen () in
  T.scope (fun s ->
      let handler c =
        D.close l;
        ignore (D.read c (Bytes.create 1) 0 1)
      in
      let server = T.spawn s (fun () -> Soil.Tcp.serve ~grace:0. l handler) in
      Soil.Tcp.with_connection (Soil.Tcp.local l) (fun _ ->
          while D.is_open l do
            T.yield ()
          done;
          T.yield ();
          T.cancel server;
          match T.timeout 10. (fun () -> T.await server) with
          | () -> Alcotest.fail "not cancelled"
          | exception T.Cancelled -> ()))

let graces () =
  string "time enough" "by itself" (grace ~seconds:patience ~work:0.1);
  string "too long" "cancelled" (grace ~seconds:0.05 ~work:100.)

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
      Soil.Udp.bind ~address:N.loopback ~port:(Soil.Udp.local a).port ());
  fails_with "not for TCP" Wrong_kind (fun () -> Soil.Tcp.accept a)

(* [f ()] while nothing that connection [d] sends leaves the machine. *)
let unheard d f =
  let port = string_of_int (Soil.Tcp.local d).port in
  N.filter [ "deny out tcp port " ^ port ];
  Fun.protect ~finally:(fun () -> N.filter []) f

let byte d = ignore (D.read d (Bytes.create 1) 0 1)

(* Whether a second small segment waits for the acknowledgement of the first. *)
let collects d =
  unheard d @@ fun () ->
  D.write_string d "a";
  Soil.Clock.sleep 0.002;
  D.write_string d "b";
  Soil.Clock.sleep 0.002;
  let info = Soil.Tcp.info d in
  int "written" 2 info.unacknowledged;
  info.in_flight = 1

let effects_of_options () =
  (with_pair @@ fun _ client ->
   bool "no Nagle at first" false (collects client));
  (with_pair @@ fun _ client ->
   Soil.Tcp.set_nodelay client false;
   bool "Nagle" true (collects client));
  (with_pair @@ fun _ client ->
   Soil.Tcp.set_nodelay client false;
   Soil.Tcp.set_nodelay client true;
   bool "no Nagle again" false (collects client));
  (* Idle, and the peer isn't heard of any more. *)
  (with_pair @@ fun _ client ->
   Soil.Tcp.keepalive client (Some 0.02);
   Soil.Clock.sleep 0.1;
   bool "the peer answers" true (T.timeout_opt 0.02 (fun () -> byte client) = None);
   unheard client (fun () -> fails_with "probed" Timed_out (fun () -> byte client)));
  (with_pair @@ fun _ client ->
   Soil.Tcp.keepalive client (Some 0.02);
   Soil.Tcp.keepalive client None;
   unheard client (fun () ->
       bool "not probed" true (T.timeout_opt 0.4 (fun () -> byte client) = None)));
  (with_pair @@ fun _ client ->
   Soil.Tcp.set_user_timeout client (Some 0.1);
   unheard client (fun () ->
       D.write_string client "x";
       fails_with "unacknowledged" Timed_out (fun () -> byte client)));
  with_pair @@ fun _ client ->
  Soil.Tcp.set_user_timeout client (Some 0.1);
  Soil.Tcp.set_user_timeout client None;
  unheard client (fun () ->
      D.write_string client "x";
      bool "waits on" true (T.timeout_opt 0.4 (fun () -> byte client) = None))
[@@ocamlformat "disable"]

(* What a listener passes on, seen from both ends. *)
let agreed () =
  let through set f =
    D.with_close (listen ()) @@ fun l ->
    set l;
    D.with_close (Soil.Tcp.connect (Soil.Tcp.local l)) @@ fun client ->
    D.with_close (Soil.Tcp.accept l) @@ fun server ->
    D.write_string client "12345";
    D.really_read server (Bytes.create 5) 0 5;
    f (Soil.Tcp.info client);
    f (Soil.Tcp.info server)
  in
  through ignore (fun info ->
      bool "all of them" true (info.timestamps && info.sack && info.window_scales <> None);
      bool "figures" true
        (info.phase = Open && info.lost = 0 && info.sacked = 0 && (not info.reordering)
       && info.peer_segment_size > 500 && info.path_mtu > info.segment_size));
  through
    (fun l -> Soil.Tcp.set_timestamps l false)
    (fun info -> bool "no timestamps" true ((not info.timestamps) && info.sack));
  through
    (fun l -> Soil.Tcp.set_sack l false)
    (fun info -> bool "no SACK" true ((not info.sack) && info.timestamps));
  through
    (fun l -> Soil.Tcp.set_window_scaling l false)
    (fun info -> bool "no scaling" true (info.window_scales = None));
  through
    (fun l -> Soil.Tcp.set_segment_size l 600)
    (fun info -> bool "small segments" true (info.segment_size <= 600));
  with_pair @@ fun server client ->
  Soil.Tcp.set_pacing client false;
  Soil.Tcp.set_delayed_ack server 0.;
  D.write_string client "12345";
  D.really_read server (Bytes.create 5) 0 5;
  Soil.Clock.sleep 0.002;
  int "acknowledged" 5 (Soil.Tcp.info client).bytes_acknowledged;
  int "received" 5 (Soil.Tcp.info server).bytes_received;
  is_invalid "size" (fun () -> Soil.Tcp.set_segment_size client 87);
  is_invalid "time" (fun () -> Soil.Tcp.set_delayed_ack client 0.5);
  let r, _ = Soil.pipe () in
  fails_with "kind" Wrong_kind (fun () -> Soil.Tcp.set_sack r true)

let options () =
  let start = Soil.Clock.monotonic () in
  with_pair @@ fun server client ->
  is_invalid "user timeout" (fun () -> Soil.Tcp.set_user_timeout client (Some 0.));
  is_invalid "linger" (fun () -> Soil.Tcp.set_linger client (-1.));
  D.write_string client (String.make 100_000 'x');
  D.really_read server (Bytes.create 100_000) 0 100_000;
  let info = Soil.Tcp.info client in
  bool "measured" true (info.rtt > 0. && info.rtt_min > 0. && info.retransmission_timeout > 0.);
  bool "sizes" true (info.segment_size > 500 && info.congestion_window >= info.segment_size);
  (* Where this process had to wait for its turn, a timer may have been due before what had come was looked at (RFC 6298, 2.4). *)
  if Soil.Clock.monotonic () -. start < 0.1 then int "nothing lost" 0 info.timeouts;
  (* Closing without lingering is a reset. *)
  Soil.Tcp.set_linger client 0.;
  D.close client;
  fails_with "reset" Connection_reset (fun () -> D.read server (Bytes.create 1) 0 1);
  fails_with "closed" Closed (fun () -> Soil.Tcp.set_linger client 1.);
  let r, _ = Soil.pipe () in
  fails_with "kind" Wrong_kind (fun () -> Soil.Tcp.info r)

let options_of_connect () =
  D.with_close (listen ()) @@ fun l ->
  let accept () = Soil.Tcp.accept ~timeout:patience l in
  (* Each option alone has its effect. *)
  let with_client connect f =
    D.with_close (connect (Soil.Tcp.local l)) @@ fun c ->
    D.with_close (accept ()) @@ fun _ -> f c
  in
  let timeout = patience in
  with_client (Soil.Tcp.connect ~timeout ~nodelay:false) (fun c -> bool "Nagle" true (collects c));
  with_client (Soil.Tcp.connect ~timeout ~nodelay:true) (fun c ->
      bool "no Nagle" false (collects c));
  with_client (Soil.Tcp.connect ~timeout ~keepalive:0.02) (fun c ->
      unheard c (fun () -> fails_with "probed" Timed_out (fun () -> byte c)));
  with_client (Soil.Tcp.connect ~timeout ~user_timeout:0.1) (fun c ->
      unheard c (fun () ->
          D.write_string c "x";
          fails_with "unacknowledged" Timed_out (fun () -> byte c)));
  let before = Soil.Machine.counter "descriptors" in
  is_invalid "keepalive" (fun () -> Soil.Tcp.connect ~keepalive:0. (Soil.Tcp.local l));
  D.close (accept ());
  bool "nothing is left of it" true (before = Soil.Machine.counter "descriptors");
  fails_with "accept in time" Timed_out (fun () -> Soil.Tcp.accept ~timeout:0.02 l)

let sight () =
  with_pair @@ fun server client ->
  let named = Soil.Tcp.local client and peer = Soil.Tcp.peer client in
  D.write_string server "unread";
  Soil.Clock.sleep 0.01;
  let found = List.find (fun (c : N.connection) -> c.local = named) (N.connections ()) in
  bool "protocol and peer" true (found.protocol = `Tcp && found.remote = Some peer);
  string "state" "ESTABLISHED" found.state;
  int "unread" 6 found.unread;
  let counts = N.statistics () in
  bool "counted" true (List.assoc "tcp.connections" counts >= 2);
  bool "frames" true (List.mem_assoc "link.frames-in" counts)

(* Several addresses of one name, all of the loopback. *)
let by_name () =
  D.with_close (listen ()) @@ fun l ->
  let port = (Soil.Tcp.local l).port in
  D.close (Soil.Tcp.connect_host "localhost" ~port);
  D.close (Soil.Tcp.accept l);
  D.close (Soil.Tcp.connect_host "127.0.0.1" ~port);
  D.close (Soil.Tcp.accept l);
  let before = Soil.Machine.counter "descriptors" in
  bool "cancelled" true (T.timeout_opt 0. (fun () -> Soil.Tcp.connect_host "localhost" ~port) = None);
  bool "nothing is left" true (Soil.Machine.counter "descriptors" = before)

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
  (* The one that wasn't heard was answered, port unreachable, which tells only a socket with one peer. *)
  Soil.Udp.send_string a to_b "again";
  int "everybody again" 5 (fst (Soil.Udp.receive ~timeout:patience b bytes 0 16));
  fails_with "no group" Invalid (fun () -> Soil.Udp.join b N.loopback);
  is_invalid "hops" (fun () -> Soil.Udp.set_multicast_hops b 256)

let filters () =
  fails_with "not a rule" Bad_configuration (fun () -> N.filter [ "forbid everything" ]);
  N.filter [ "deny in tcp port 1"; "allow in icmp limit 5 5 each" ];
  N.filter [];
  fails_with "no interface" No_device (fun () -> Soil.Ethernet.open_ 0x88b5);
  is_invalid "a length" (fun () -> Soil.Ethernet.open_ 100)

(* Whatever waits for the network ends in time, by its own limit or by [Task.timeout], and leaves nothing. *)
let deadlines () =
  let before = Soil.Machine.counter "descriptors" in
  (let in_time name f =
     let start = Soil.Clock.monotonic () in
     fails_with name Timed_out (fun () -> T.timeout 0.05 f);
     (match T.timeout_opt 0.02 f with Some _ -> Alcotest.fail name | None -> ());
     T.scope (fun s ->
         let t = T.spawn s f in
         Soil.Clock.sleep 0.01;
         T.cancel t;
         match T.await t with _ -> Alcotest.fail name | exception T.Cancelled -> ());
     (* What doesn't heed a limit ends with the test's own. *)
     bool (name ^ ", soon") true (Soil.Clock.monotonic () -. start < patience /. 4.)
   in
   let big = Bigarray.Array1.create Bigarray.char Bigarray.c_layout (32 lsl 20) in
   let small = Bytes.create 10 in
   ( with_pair @@ fun server client ->
     in_time "read" (fun () -> ignore (D.read server small 0 10));
     in_time "read_into" (fun () -> ignore (D.read_into server big 0 10));
     in_time "really_read" (fun () -> D.really_read server small 0 10);
     in_time "read_all" (fun () -> ignore (D.read_all server));
     in_time "lease" (fun () -> ignore (Soil.Zero_copy.receive server));
     fails_with "lease in its time" Timed_out (fun () ->
         Soil.Zero_copy.receive ~timeout:0.02 server);
     in_time "send" (fun () -> Soil.Zero_copy.send client big 0 (Bigarray.Array1.dim big));
     fails_with "send in its time" Timed_out (fun () ->
         Soil.Zero_copy.send ~timeout:0.02 client big 0 (Bigarray.Array1.dim big));
     in_time "write_from" (fun () -> D.write_from client big 0 (Bigarray.Array1.dim big));
     in_time "write" (fun () -> D.write client (Bytes.create (16 lsl 20)) 0 (16 lsl 20));
     in_time "writev" (fun () -> D.writev client [ String.make (8 lsl 20) 'x'; "y" ]);
     in_time "copy" (fun () -> ignore (D.copy ~src:client ~dst:client ())) );
   D.with_close (listen ()) (fun l ->
       in_time "accept" (fun () -> D.close (Soil.Tcp.accept l));
       in_time "serve" (fun () -> Soil.Tcp.serve ~grace:0.01 l ignore));
   D.with_close (Soil.Udp.bind ~address:N.loopback ~port:0 ()) (fun d ->
       in_time "receive" (fun () -> ignore (Soil.Udp.receive d small 0 10));
       fails_with "receive in its time" Timed_out (fun () ->
           Soil.Udp.receive ~timeout:0.02 d small 0 10);
       in_time "receive_batch" (fun () -> ignore (Soil.Udp.receive_batch d big ~slot:10 2));
       fails_with "receive_batch in its time" Timed_out (fun () ->
           Soil.Udp.receive_batch ~timeout:0.02 d big ~slot:10 2));
   (* A listener whose queue is full is silent. *)
   D.with_close (listen ~backlog:1 ()) @@ fun l ->
   let e = Soil.Tcp.local l in
   let c = Soil.Tcp.connect e in
   fails_with "connect" Timed_out (fun () -> Soil.Tcp.connect ~timeout:0.05 e);
   in_time "connect" (fun () -> D.close (Soil.Tcp.connect e));
   in_time "with_connection" (fun () -> Soil.Tcp.with_connection e ignore);
   fails_with "with_connection in its time" Timed_out (fun () ->
       Soil.Tcp.with_connection ~timeout:0.02 e ignore);
   in_time "connect_host" (fun () -> D.close (Soil.Tcp.connect_host "localhost" ~port:e.port));
   D.close c);
  bool "nothing is left" true (Soil.Machine.counter "descriptors" = before)

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

let pings () =
  let reply = Soil.Icmp.ping N.loopback in
  bool "the machine itself" true (reply.time >= 0. && reply.time < 1. && reply.hop_limit = 64);
  ignore (Soil.Icmp.ping ~length:0 (N.address_of_string "::1"));
  ignore (Soil.Icmp.ping ~length:65_000 N.loopback);
  is_invalid "length" (fun () -> Soil.Icmp.ping ~length:65_001 N.loopback);
  string "no network" "no network" (error_code (fun () -> Soil.Icmp.ping (N.v4 192 0 2 1)));
  bool "routes" true (Soil.Routing.routes () = []);
  fails_with "no interface" No_device (fun () -> Soil.Routing.add_vlan ~interface:0 7)

let sizes_and_congestion () =
  D.with_close (listen ()) @@ fun l ->
  let c =
    Soil.Tcp.connect ~congestion:New_reno ~send_buffer:10_000 ~receive_buffer:10_000 ~linger:0.
      (Soil.Tcp.local l)
  in
  let s = Soil.Tcp.accept l in
  int "as much as there is room for" 10_000 (D.write_some c (Bytes.create 50_000) 0 50_000);
  Soil.Tcp.set_congestion c Cubic;
  is_invalid "send buffer" (fun () -> Soil.Tcp.set_send_buffer c 0);
  is_invalid "receive buffer" (fun () -> Soil.Tcp.set_receive_buffer c (-1));
  D.really_read s (Bytes.create 10_000) 0 10_000;
  D.close c;
  fails_with "no lingering" Connection_reset (fun () -> D.read s (Bytes.create 1) 0 1);
  D.close s

(* What is on the wire is looked at in tests/cases/wire.py. *)
let marking () =
  D.with_close (Soil.Tcp.listen ~address:N.loopback ~hop_limit:255 ~dscp:63 ~port:0 ()) @@ fun l ->
  let connect = Soil.Tcp.connect ~hop_limit:1 ~dscp:0 ~ecn:false in
  D.with_close (connect (Soil.Tcp.local l)) @@ fun c ->
  D.with_close (Soil.Tcp.accept ~timeout:patience l) @@ fun s ->
  Soil.Tcp.set_dscp s 1;
  Soil.Tcp.set_hop_limit s 64;
  Soil.Tcp.set_hop_limit l 1;
  D.write_string s "x";
  D.really_read c (Bytes.create 1) 0 1;
  is_invalid "hop limit 0" (fun () -> Soil.Tcp.set_hop_limit c 0);
  is_invalid "hop limit 256" (fun () -> Soil.Tcp.connect ~hop_limit:256 (Soil.Tcp.local l));
  is_invalid "DSCP" (fun () -> Soil.Tcp.set_dscp c 64);
  is_invalid "DSCP of a listener" (fun () -> Soil.Tcp.listen ~dscp:(-1) ~port:0 ());
  is_invalid "hop limit of datagrams" (fun () -> Soil.Udp.bind ~hop_limit:0 ~port:0 ());
  D.with_close (Soil.Udp.bind ~address:N.loopback ~hop_limit:9 ~dscp:9 ~port:0 ()) @@ fun d ->
  Soil.Udp.set_dscp d 0;
  Soil.Udp.set_hop_limit d 1;
  let r, w = Soil.pipe () in
  fails_with "kind" Wrong_kind (fun () -> Soil.Tcp.set_dscp r 1);
  D.close w;
  fails_with "closed" Closed (fun () -> Soil.Tcp.set_hop_limit w 1)

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

let no_network () =
  let code f = error_code (fun () -> f ()) in
  let without = "no network" in
  string "wait_up" without (code Soil.Net.wait_up);
  string "connect" without (code (fun () -> Soil.Tcp.connect (N.endpoint (N.v4 192 0 2 1) 80)));
  string "lookup" without (code (fun () -> Soil.Dns.lookup "example.org"));
  bool "interfaces" true (Soil.Net.interfaces () = [])

(* Nothing stays of connections that have ended. *)
let no_leak () =
  let l = listen () in
  T.scope (fun s ->
      ignore (T.spawn s (fun () -> Soil.Tcp.serve l (fun c -> D.write_string c "x")));
      let round () =
        for _ = 1 to 200 do
          ignore (ask (Soil.Tcp.local l))
        done;
        Gc.full_major ();
        ((Gc.stat ()).live_words, Soil.Machine.counter "descriptors")
      in
      ignore (round ());
      let words, descriptors = round () in
      let words', descriptors' = round () in
      bool "live words" true (words' - words < 500);
      bool "descriptors" true (descriptors = descriptors');
      D.close l)

let tests =
  [
    in_run "both ways at once" both_ways;
    in_run "addresses and options" addresses;
    in_run "wrong kinds" wrong_kinds;
    in_run "refused" refused;
    in_run "in use" in_use;
    in_run "ends of connections" ends;
    in_run "cancelled" cancelled;
    in_run "closed while waiting" closed_while_waiting;
    in_run "serve" serving;
    in_run "a handler that fails ends its connection only" failing_handler;
    in_run "errors of handlers" errors_of_handlers;
    in_run "grace" graces;
    in_run "serve is cancelled after its listener's end" cancelled_after_the_end;
    in_run "datagrams" datagrams;
    in_run "options" options;
    in_run "effects of options" effects_of_options;
    in_run "what a listener passes on" agreed;
    in_run "options of connect" options_of_connect;
    in_run "sight" sight;
    in_run "by name" by_name;
    in_run "batches of datagrams, and one peer" batches;
    in_run "packet filter and raw frames without a card" filters;
    in_run "deadlines everywhere" deadlines;
    in_run "without copies" without_copies;
    in_run "ping and routes" pings;
    in_run "sizes of buffers and congestion control" sizes_and_congestion;
    in_run "hop limit and DSCP" marking;
    in_run "urgent data" urgent;
    in_run "no network" no_network;
    in_run "nothing leaks" no_leak;
  ]
