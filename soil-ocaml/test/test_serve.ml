(* Soil.Tcp.serve. *)
open Check
open Loop

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

(* [serve] passes every exception of a handler to [on_error], except those that the connection
   itself raised because its peer went away. *)
let errors_of_handlers () =
  let l = listen () in
  let passed = ref [] in
  let on_error c e =
    bool "open" true (D.is_open c);
    let words =
      match e with Soil.Error e -> Soil.Error.message e.code | e -> Printexc.to_string e
    in
    passed := words :: !passed
  in
  (* The actions of the peer and of the handler; [d] is another connection, reset by its peer. *)
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
      ( ignore,
        (fun c -> T.timeout 0.005 (fun () -> byte c)),
        Some (Printexc.to_string (T.Timeout 0.005)) );
      (ignore, (fun c -> ignore (Soil.Zero_copy.receive ~timeout:0.005 c)), Some "timed out");
      (Soil.Tcp.abort,
       (fun c ->
         try byte c with Soil.Error e -> raise (Soil.Error { e with operation = "mine" })),
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
  let on_error c e =
    if D.is_open c then on_error c e else passed := error_code (fun () -> raise e) :: !passed
  in
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
  (* An exception of [on_error] ends [serve] and cancels the running handlers. *)
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

(* [serve] that has no listener any more waits for its connections, and can be cancelled all the
   same. *)
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

(* A connection that is accepted in the turn in which [serve] fails is closed, too. *)
let failing_report () =
  let l = listen () in
  let serve () =
    match Soil.Tcp.serve ~on_error:(fun _ e -> raise e) l (fun _ -> failwith "fatal") with
    | () -> Alcotest.fail "no failure"
    | exception Failure _ -> ()
  in
  let connect _ = Soil.Tcp.connect (Soil.Tcp.local l) in
  let clients = List.map connect [ 1; 2; 3 ] in
  (* All of them are in the backlog. *)
  Soil.Clock.sleep 0.01;
  serve ();
  let end_ c =
    match D.read c (Bytes.create 1) 0 1 with
    | n -> n
    | exception Soil.Error { code = Connection_reset; _ } -> 0
  in
  D.close l;
  List.iter (fun c -> int "end" 0 (T.timeout 10. (fun () -> end_ c))) clients;
  List.iter D.close clients

let graces () =
  string "time enough" "by itself" (grace ~seconds:patience ~work:0.1);
  string "too long" "cancelled" (grace ~seconds:0.05 ~work:100.)

let tests =
  [
    in_run "serve" serving;
    in_run "a handler that fails ends its connection only" failing_handler;
    in_run "errors of handlers" errors_of_handlers;
    in_run "a report that fails ends all connections" failing_report;
    in_run "grace" graces;
    in_run "serve is cancelled after its listener's end" cancelled_after_the_end;
  ]
