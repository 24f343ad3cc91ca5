(* TCP connections over the loopback, which needs no device and no privileges. *)
open Check
open Loop

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
  string "name" ("tcp " ^ N.Endpoint.to_string (Soil.Tcp.peer client)) (D.name client);
  Soil.Tcp.set_nodelay client false;
  Soil.Tcp.keepalive client (Some 1.);
  Soil.Tcp.keepalive client None;
  is_invalid "interval" (fun () -> Soil.Tcp.keepalive client (Some (-1.)));
  let before = D.name client in
  D.close client;
  fails_with "closed" Closed (fun () -> Soil.Tcp.peer client);
  string "name after close" before (D.name client)

let refused () =
  let l = listen () in
  let e = Soil.Tcp.local l in
  D.close l;
  string "message"
    ("tcp connect " ^ N.Endpoint.to_string e ^ ": connection refused")
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
  (* The detail of one failure isn't repeated for the next, which has none. *)
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
  string "no reader" "failed" (write_until_it_fails 1000)

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

let sight () =
  with_pair @@ fun server client ->
  let named = Soil.Tcp.local client and peer = Soil.Tcp.peer client in
  D.write_string server "unread";
  let rec find () =
    let found = List.find (fun (c : N.connection) -> c.local = named) (N.connections ()) in
    if found.unread >= 6 then found
    else (
      Soil.Clock.sleep 0.001;
      find ())
  in
  let found = find () in
  bool "protocol and peer" true (found.protocol = `Tcp && found.remote = Some peer);
  string "state" "ESTABLISHED" found.state;
  int "unread" 6 found.unread;
  let counts = N.statistics () in
  bool "counted" true (List.assoc "tcp.connections" counts >= 2);
  bool "frames" true (List.mem_assoc "link.frames-in" counts)

(* Several addresses of one name, all of the loopback. *)
let by_name () =
  ( D.with_close (listen ()) @@ fun l ->
    let port = (Soil.Tcp.local l).port in
    D.close (Soil.Tcp.connect_host "localhost" ~port);
    D.close (Soil.Tcp.accept l);
    D.close (Soil.Tcp.connect_host "127.0.0.1" ~port);
    D.close (Soil.Tcp.accept l) );
  (* A listener whose queue is full is silent. *)
  D.with_close (listen ~backlog:1 ()) @@ fun l ->
  let port = (Soil.Tcp.local l).port in
  D.with_close (Soil.Tcp.connect_host "localhost" ~port) @@ fun _ ->
  let before = Soil.Machine.counter "descriptors" in
  let connect () = Soil.Tcp.connect_host "localhost" ~port in
  bool "cancelled" true (T.timeout_opt 0. connect = None);
  bool "nothing is left" true (Soil.Machine.counter "descriptors" = before)

(* Each call that waits for the network ends in time, by its own limit or by [Task.timeout], and
   leaves no descriptor open. *)
let deadlines () =
  let before = Soil.Machine.counter "descriptors" in
  (let in_time name f =
     let start = Soil.Clock.monotonic () in
     fails_in_time name (fun () -> T.timeout 0.05 f);
     (match T.timeout_opt 0.02 f with Some _ -> Alcotest.fail name | None -> ());
     T.scope (fun s ->
         let t = T.spawn s f in
         Soil.Clock.sleep 0.01;
         T.cancel t;
         match T.await t with _ -> Alcotest.fail name | exception T.Cancelled -> ());
     (* A call that ignores its limit ends with the test's own. *)
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
    in_run "refused" refused;
    in_run "in use" in_use;
    in_run "ends of connections" ends;
    in_run "cancelled" cancelled;
    in_run "closed while waiting" closed_while_waiting;
    in_run "sight" sight;
    in_run "by name" by_name;
    in_run "deadlines everywhere" deadlines;
    in_run "no network" no_network;
    in_run "nothing leaks" no_leak;
  ]
