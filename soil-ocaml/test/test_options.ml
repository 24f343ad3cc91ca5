(* Options of TCP connections, and their effects. *)
open Check
open Loop

(* Whether a second small segment waits for the acknowledgement of the first. [with_one f] gives [f]
   a connection of its own. *)
let rec collects ?(tries = 20) with_one =
  let measure d =
    unheard d @@ fun () ->
    D.write_string d "a";
    Soil.Clock.sleep 0.002;
    D.write_string d "b";
    Soil.Clock.sleep 0.002;
    let info = Soil.Tcp.info d in
    int "written" 2 info.unacknowledged;
    (info.timeouts + info.loss_probes, info.in_flight)
  in
  match with_one measure with
  | 0, in_flight -> in_flight = 1
  (* This process had to wait for its turn: the first segment was sent again, alone, or the second
     one to probe for its loss. *)
  | _ when tries > 1 -> collects ~tries:(tries - 1) with_one
  | _ -> Alcotest.fail "the timer was faster each time"

let effects_of_options () =
  let with_nodelay values f =
    with_pair @@ fun _ client ->
    List.iter (Soil.Tcp.set_nodelay client) values;
    f client
  in
  bool "no Nagle at first" false (collects (with_nodelay []));
  bool "Nagle" true (collects (with_nodelay [ false ]));
  bool "no Nagle again" false (collects (with_nodelay [ false; true ]));
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

(* Options that connections inherit from their listener, seen from both ends. *)
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
  is_invalid "time" (fun () -> Soil.Tcp.set_delayed_ack client 0.5)

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
  (* Where this process had to wait for its turn, a timer may have been due before what had come was
     looked at (RFC 6298, 2.4). *)
  if Soil.Clock.monotonic () -. start < 0.1 then int "nothing lost" 0 info.timeouts;
  (* Closing without lingering is a reset. *)
  Soil.Tcp.set_linger client 0.;
  D.close client;
  fails_with "reset" Connection_reset (fun () -> D.read server (Bytes.create 1) 0 1);
  fails_with "closed" Closed (fun () -> Soil.Tcp.set_linger client 1.)

let options_of_connect () =
  D.with_close (listen ()) @@ fun l ->
  let accept () = Soil.Tcp.accept ~timeout:patience l in
  (* Each option alone has its effect. *)
  let with_client connect f =
    D.with_close (connect (Soil.Tcp.local l)) @@ fun c ->
    D.with_close (accept ()) @@ fun _ -> f c
  in
  let timeout = patience in
  bool "Nagle" true (collects (with_client (Soil.Tcp.connect ~timeout ~nodelay:false)));
  bool "no Nagle" false (collects (with_client (Soil.Tcp.connect ~timeout ~nodelay:true)));
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

(* tests/cases/wire.py checks the packets themselves. *)
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
  D.close d;
  fails_with "closed" Closed (fun () -> Soil.Udp.set_hop_limit d 1)

(* The same, of what a connection or a listener begins with. *)
let options_at_the_beginning () =
  let default = Soil.Tcp.default_options in
  let through options f =
    let compare_options connect listen =
      D.with_close (listen ()) @@ fun l ->
      D.with_close (connect (Soil.Tcp.local l)) @@ fun client ->
      D.with_close (Soil.Tcp.accept l) @@ fun server ->
      D.write_string client "12345";
      D.really_read server (Bytes.create 5) 0 5;
      f (Soil.Tcp.info client) (Soil.Tcp.info server)
    in
    compare_options (fun e -> Soil.Tcp.connect ~options e) listen;
    compare_options Soil.Tcp.connect (fun () ->
        Soil.Tcp.listen ~address:N.loopback ~options ~port:0 ());
    compare_options
      (fun e -> Soil.Bound.connect (Soil.Bound.bind ~address:N.loopback ~options ()) e)
      listen;
    compare_options Soil.Tcp.connect (fun () ->
        Soil.Bound.listen (Soil.Bound.bind ~address:N.loopback ~options ()))
  in
  let both what test = fun a b -> bool what true (test a && test b) in
  let open Soil.Tcp in
  through default (both "all of them" (fun i -> i.timestamps && i.sack && i.window_scales <> None));
  through
    { default with timestamps = false }
    (both "no timestamps" (fun i -> (not i.timestamps) && i.sack && i.window_scales <> None));
  through { default with sack = false }
    (both "no SACK" (fun i -> i.timestamps && (not i.sack) && i.window_scales <> None));
  through
    { default with window_scaling = false }
    (both "no scaling" (fun i -> i.timestamps && i.sack && i.window_scales = None));
  through { default with segment_size = Some 700; pacing = false; delayed_ack = Some 0. }
    (fun a b ->
      bool "small segments" true (a.segment_size <= 700 && b.segment_size <= 700);
      bool "told" true (a.peer_segment_size = 700 || b.peer_segment_size = 700));
  is_invalid "size" (fun () -> listen ~options:{ default with segment_size = Some 87 } ~port:0 ());
  is_invalid "delay" (fun () ->
      connect ~options:{ default with delayed_ack = Some 0.5 } (N.endpoint N.loopback 1))

(* Packets that the filter of [unheard] has kept from leaving. *)
let kept_back () = List.assoc "drop.filtered" (N.statistics ())

(* Silence before the first probe, time between probes, and how many. *)
let keepalive () =
  (with_pair @@ fun _ client ->
   Soil.Tcp.keepalive ~interval:0.01 ~count:1 client (Some 1000.);
   unheard client (fun () ->
       bool "not yet" true (T.timeout_opt 0.2 (fun () -> byte client) = None)));
  (with_pair @@ fun _ client ->
   Soil.Tcp.keepalive ~interval:1000. ~count:1 client (Some 0.01);
   unheard client (fun () ->
       bool "not again" true (T.timeout_opt 0.2 (fun () -> byte client) = None)));
  (with_pair @@ fun _ client ->
   unheard client (fun () ->
       let before = kept_back () in
       Soil.Tcp.keepalive ~interval:0.01 ~count:3 client (Some 0.01);
       fails_with "gone" Timed_out (fun () -> byte client);
       int "probes, and a reset" (3 + 1) (kept_back () - before)));
  with_pair @@ fun _ client ->
  is_invalid "no probes" (fun () -> Soil.Tcp.keepalive ~count:0 client (Some 1.));
  is_invalid "too many" (fun () -> Soil.Tcp.keepalive ~count:256 client (Some 1.));
  is_invalid "no time" (fun () -> Soil.Tcp.keepalive ~interval:0. client (Some 1.))
[@@ocamlformat "disable"]

(* A socket that is bound first. *)
let bound () =
  let bind ?port () = Soil.Bound.bind ~address:N.loopback ?port () in
  let before = Soil.Machine.counter "descriptors" in
  (D.with_close (listen ()) @@ fun l ->
   D.with_close (bind ()) @@ fun b ->
   let own = Soil.Tcp.local b in
   bool "a port" true (own.port > 0);
   fails_with "taken" Address_in_use (fun () -> bind ~port:own.port ());
   fails_with "refused" Connection_refused (fun () -> Soil.Tcp.connect own);
   Soil.Tcp.set_sack b false;
   D.with_close (Soil.Bound.connect b (Soil.Tcp.local l)) @@ fun c ->
   D.with_close (Soil.Tcp.accept l) @@ fun s ->
   bool "from there" true (Soil.Tcp.local c = own && Soil.Tcp.peer s = own);
   bool "its options" false (Soil.Tcp.info c).sack;
   bool "used up" false (D.is_open b);
   fails_with "once" Closed (fun () -> Soil.Bound.connect b (Soil.Tcp.local l)));
  let b = bind () in
  is_invalid "backlog" (fun () -> Soil.Bound.listen ~backlog:0 b);
  (D.with_close (Soil.Bound.listen ~backlog:1 b) @@ fun l ->
   let own = Soil.Tcp.local l in
   bool "used up" false (D.is_open b);
   fails_with "listens" Closed (fun () -> Soil.Bound.connect b own);
   fails_with "listens" Closed (fun () -> Soil.Bound.listen b);
   D.close b;
   bool "still open" true (D.is_open l);
   string "served" ""
     (D.with_close (Soil.Tcp.connect own) (fun c ->
          D.close (Soil.Tcp.accept l);
          D.read_all c)));
  let closed = listen () in
  let nobody_there = Soil.Tcp.local closed in
  D.close closed;
  let b = bind () in
  fails_with "no listener" Connection_refused (fun () -> Soil.Bound.connect b nobody_there);
  bool "closed by then" false (D.is_open b);
  let b = bind () in
  is_invalid "port 0" (fun () -> Soil.Bound.connect b (N.endpoint N.loopback 0));
  D.close b;
  is_invalid "port" (fun () -> bind ~port:65536 ());
  bool "nothing is left" true (before = Soil.Machine.counter "descriptors")
[@@ocamlformat "disable"]

let tests =
  [
    in_run "options at the beginning" options_at_the_beginning;
    in_run "keep-alive's three numbers" keepalive;
    in_run "bound first" bound;
    in_run "effects of options" effects_of_options;
    in_run "what a listener passes on" agreed;
    in_run "options" options;
    in_run "options of connect" options_of_connect;
    in_run "sizes of buffers and congestion control" sizes_and_congestion;
    in_run "hop limit and DSCP" marking;
  ]
