(* Soil.Virtual_clock: hours that take no time. *)
open Check
module C = Soil.Clock
module V = Soil.Virtual_clock

exception Odd

let floats = Alcotest.(check (list (float 0.)))
let hour = 3600.

(* That the machine's clock hasn't moved by as much. *)
let quickly f =
  let start = C.monotonic () in
  let v = f () in
  bool "in real time" true (C.monotonic () -. start < patience);
  v

let in_virtual name f = test name (fun () -> quickly (fun () -> V.run f))

let elapsed f =
  let start = C.monotonic () in
  f ();
  Float.round ((C.monotonic () -. start) *. 1e6) /. 1e6

let sleeps () =
  floats "the time slept" [ 86400.; 0.; 0.25; 0. ]
    (List.map (fun s -> elapsed (fun () -> C.sleep s)) [ 86400.; 0.; 0.25; -1. ]);
  let until = C.monotonic () +. hour in
  C.sleep_until until;
  floats "until" [ until ] [ C.monotonic () ]

let timeouts () =
  floats "after the timeout" [ hour ]
    [
      elapsed (fun () ->
          fails_in_time "sleep" (fun () -> T.timeout hour (fun () -> C.sleep infinity)));
    ];
  floats "before it" [ hour ]
    [ elapsed (fun () -> T.timeout (hour +. 1.) (fun () -> C.sleep hour)) ];
  floats "the inner one" [ 1. ]
    [
      elapsed (fun () ->
          let inner () = T.timeout_opt 1. (fun () -> C.sleep hour) in
          bool "only" true (T.timeout_opt 2. inner = Some None));
    ]

(* A client that tries again after 1, 2, 4, … s, for a server that is down for a day. *)
let retries () =
  let start = C.now () in
  let attempts = ref [] in
  let rec attempt delay =
    attempts := (C.now () -. start) :: !attempts;
    if C.now () -. start < 86400. then (
      C.sleep delay;
      attempt (Float.min (2. *. delay) (4. *. hour)))
  in
  attempt 1.;
  int "attempts" 20 (List.length !attempts);
  floats "the last ones"
    [ 88383.; 73983.; 59583.; 45183. ]
    (List.filteri (fun i _ -> i < 4) !attempts)

(* A child that fails once an hour, for two days, under the default limit; the delays are random. *)
let supervised () =
  let module S = Soil.Supervisor in
  let starts = ref [] in
  let here = ref None in
  let run_child () =
    C.sleep hour;
    if List.length !starts = 48 then S.stop (Option.get !here) else raise Odd
  in
  S.run
    ~report:(fun _ _ -> ())
    (fun s ->
      here := Some s;
      ignore (S.add s "a" (fun _ -> starts := C.monotonic () :: !starts) ~run:run_child));
  int "starts" 48 (List.length !starts)

(* Nothing of the machine's is in what a program sees of the time. *)
let story () =
  let log, entries = logger () in
  let note s = log (Printf.sprintf "%s %.9f %.9f" s (C.now ()) (C.monotonic ())) in
  T.scope (fun s ->
      for i = 1 to 20 do
        ignore
          (T.spawn s (fun () ->
               C.sleep (1. /. float_of_int i);
               note (string_of_int i);
               C.sleep 0.1;
               note "again"))
      done);
  entries ()

let deterministic () =
  let once () = quickly (fun () -> V.run story) in
  let first = once () in
  C.sleep 0.002;
  strings "the same" first (once ())

let time_of_day () =
  floats "by default" [ 946684800. ] [ V.run C.now ];
  floats "as given"
    [ 1e9; 1e9 +. 60. ]
    (V.run ~now:1e9 (fun () ->
         let first = C.now () in
         C.sleep 60.;
         [ first; C.now () ]));
  floats "1970" [ 0. ] [ Float.round (V.run ~now:0. C.now) ];
  let monotonic = V.run C.monotonic in
  floats "the same each time" [ monotonic ] [ V.run C.monotonic ];
  List.iter (fun now -> is_invalid "now" (fun () -> V.run ~now ignore)) [ -1.; nan; 5e9; infinity ];
  List.iter
    (fun io_seconds -> is_invalid "io_seconds" (fun () -> V.run ~io_seconds ignore))
    [ -1.; nan; infinity ]

let far () =
  V.run ~now:4e9 @@ fun () ->
  C.sleep 1e9;
  C.sleep 1e9;
  bool "no overflow" true (C.now () >= 4e9)

let nested () =
  V.run @@ fun () ->
  C.sleep 1.;
  let monotonic = C.monotonic () in
  let inner, moved =
    V.run ~now:1e9 (fun () ->
        C.sleep 1.;
        (C.now (), C.monotonic () -. monotonic))
  in
  floats "its time of day, one clock" [ 1e9 +. 1.; 1.; 946684802. ] [ inner; moved; C.now () ];
  (try V.run ~now:1e9 (fun () -> raise Exit) with Exit -> ());
  floats "after an exception" [ 946684802. ] [ C.now () ];
  V.run (fun () -> C.sleep 1.);
  floats "the outer time of day" [ 946684803. ] [ C.now () ]

let is_real what =
  bool what true (C.now () > 1.7e9);
  let start = C.monotonic () in
  C.sleep 0.002;
  let slept = C.monotonic () -. start in
  bool (what ^ ": a sleep") true (slept >= 0.002 && slept < hour)

let afterwards () =
  V.run (fun () -> C.sleep hour);
  is_real "after a result";
  (match V.run (fun () -> T.both (fun () -> C.sleep hour) (fun () -> raise Odd)) with
  | _ -> Alcotest.fail "no exception"
  | exception Odd -> is_real "after an exception");
  Soil.run (fun () ->
      (match T.timeout_opt 0.01 (fun () -> V.run (fun () -> Soil.pipe () |> fst |> fun r -> ignore (Soil.File_descriptor.read_all r))) with
      | _ -> Alcotest.fail "no deadlock"
      | exception Soil.Error { code = Deadlock; _ } -> ());
      is_real "after a deadlock");
  Soil.run (fun () ->
      T.scope (fun s ->
          let task = T.spawn s (fun () -> V.run (fun () -> while true do C.sleep hour; T.yield () done)) in
          T.yield ();
          T.yield ();
          T.cancel task);
      is_real "after a cancellation")
[@@ocamlformat "disable"]

let cancelled_inside () =
  let log, entries = logger () in
  let unwinding name f = Fun.protect ~finally:(fun () -> log name) f in
  T.scope (fun s ->
      let task =
        T.spawn s (fun () ->
            unwinding "ended" @@ fun () ->
            try C.sleep infinity
            with T.Cancelled ->
              T.protect (fun () -> C.sleep hour);
              log "cleaned up")
      in
      C.sleep 1.;
      T.cancel task);
  strings "order" [ "cleaned up"; "ended" ] (entries ());
  floats "first" [ 1. ]
    [ elapsed (fun () -> T.first [ (fun () -> C.sleep 1.); (fun () -> C.sleep infinity) ]) ]

let deadlock () =
  let stuck f = fails_with "deadlock" Deadlock (fun () -> quickly (fun () -> V.run f)) in
  let promise () = T.Promise.(await (create ())) in
  stuck promise;
  stuck (fun () -> C.sleep infinity);
  stuck (fun () -> T.both promise (fun () -> C.sleep hour));
  let r, w = Soil.pipe () in
  stuck (fun () -> Soil.File_descriptor.read_all r);
  Soil.File_descriptor.close w;
  string "the pipe is whole" "" (Soil.File_descriptor.read_all r);
  Soil.run (fun () ->
      stuck promise;
      is_real "the outer run goes on");
  (match V.run promise with
  | () -> Alcotest.fail "no deadlock"
  | exception Soil.Error e ->
      string "what it says"
        "run virtual clock: each task waits for another, none for a time or for the machine"
        (Soil.Error.to_string e));
  stuck (fun () -> try promise () with T.Cancelled -> ());
  (* What doesn't unwind is left. *)
  stuck (fun () -> T.protect promise);
  is_real "afterwards"

(* A task from before goes on by the machine's clock. *)
let outside () =
  Soil.run @@ fun () ->
  fails_in_time "the timeout around it" (fun () ->
      T.timeout 0.02 (fun () ->
          V.run (fun () ->
              while true do
                C.sleep hour
              done)));
  fails_in_time "also of what yields" (fun () ->
      T.timeout 0.02 (fun () ->
          V.run (fun () ->
              while true do
                T.yield ()
              done)));
  is_real "afterwards";
  let promise = T.Promise.create () in
  let wake () =
    C.sleep 0.02;
    T.Promise.fulfil promise ()
  in
  let real = ref true in
  let later () =
    T.yield ();
    V.run (fun () -> T.Promise.await promise);
    real := false
  in
  ignore (T.both wake later);
  bool "woken from outside" false !real;
  (* Timers of both kinds outlive the virtual time, in their order. *)
  let log, entries = logger () in
  let at seconds name () =
    C.sleep seconds;
    log name
  in
  T.scope (fun s ->
      let start seconds name = ignore (T.spawn s (at seconds name)) in
      start 0.03 "third";
      start 0.01 "second";
      let outer = s in
      T.yield ();
      V.run (fun () ->
          C.sleep hour;
          ignore (T.spawn outer (at 0.06 "fourth"));
          ignore (T.spawn outer (at 0. "first"));
          T.yield ();
          T.yield ()));
  strings "all" [ "first"; "second"; "third"; "fourth" ] (entries ());
  let task = ref None in
  T.scope (fun s ->
      task := Some (T.spawn s (fun () -> C.sleep hour));
      T.yield ();
      V.run (fun () ->
          C.sleep 1.;
          T.cancel (Option.get !task)));
  bool "cancelled from inside" true (T.result (Option.get !task) = Some (Error T.Cancelled))

(* Connections are the machine's: what comes within [io_seconds] comes before any timer. *)
let devices () =
  Soil.run @@ fun () ->
  T.timeout patience @@ fun () ->
  V.run ~io_seconds:patience @@ fun () ->
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  let serve () =
    let c = Soil.Tcp.accept listener in
    let d = Soil.Reader.create c in
    let rec go () =
      match Soil.Reader.line d with
      | line ->
          Soil.File_descriptor.write_string c (String.uppercase_ascii line ^ "\n");
          go ()
      | exception End_of_file -> Soil.File_descriptor.close c
    in
    go ()
  in
  let ask () =
    let endpoint = Soil.Tcp.local listener in
    Soil.Tcp.with_connection endpoint @@ fun c ->
    let d = Soil.Reader.create c in
    for i = 1 to 5 do
      let line = "line " ^ string_of_int i in
      Soil.File_descriptor.write_string c (line ^ "\n");
      string "in time" (String.uppercase_ascii line)
        (T.timeout 0.001 (fun () -> Soil.Reader.line d))
    done
  in
  ignore (T.both serve ask);
  Soil.File_descriptor.close listener

let devices_that_wait () =
  V.run ~io_seconds:0.0001 @@ fun () ->
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  T.scope (fun s ->
      ignore (T.spawn_daemon s (fun () -> Soil.Tcp.accept listener));
      floats "past one that no task waits for" [ hour ]
        [
          elapsed (fun () ->
              for _ = 1 to 6 do
                C.sleep (hour /. 6.)
              done);
        ]);
  Soil.File_descriptor.close listener

let advances () =
  let log, entries = logger () in
  T.scope (fun s ->
      List.iter
        (fun seconds ->
          ignore
            (T.spawn s (fun () ->
                 C.sleep seconds;
                 log (Printf.sprintf "%g" seconds))))
        [ 3.; 1.; 2.; 100. ];
      T.yield ();
      floats "at once" [ 10. ] [ elapsed (fun () -> V.advance 10.) ];
      strings "no task ran" [] (entries ());
      (* The clock wakes who is due in its turn. *)
      C.sleep 1e-9;
      strings "in order" [ "1"; "2"; "3" ] (entries ()));
  List.iter (fun s -> is_invalid "advance" (fun () -> V.advance s)) [ -1.; nan; infinity; 1e10 ]

let not_outside () =
  is_invalid "outside" (fun () -> V.advance 1.);
  Soil.run (fun () -> is_invalid "in a run" (fun () -> V.advance 1.))

(* Sleeps end in the order of their times, and those of the same time in that of their calls; each
   at its time exactly. *)
let in_order times =
  let start = ref 0 and log = ref [] in
  V.run (fun () ->
      start := C.monotonic_ns ();
      T.scope @@ fun s ->
      List.iteri
        (fun i ms ->
          ignore
            (T.spawn s (fun () ->
                 C.sleep (float_of_int ms *. 1e-3);
                 log := (C.monotonic_ns () - !start, i) :: !log)))
        times);
  let expected = List.mapi (fun i ms -> (int_of_float (float_of_int ms *. 1e-3 *. 1e9), i)) times in
  List.rev !log = List.sort compare expected

(* The same with several sleeps of each task, some given up before. *)
let in_order_of_steps plans =
  let log = ref [] in
  let virtual_ () =
    T.scope @@ fun s ->
    List.iter
      (fun plan ->
        ignore
          (T.spawn s (fun () ->
               List.iter
                 (fun (sleep, limit) ->
                   let start = C.monotonic_ns () in
                   let ms n = float_of_int n *. 1e-3 in
                   let ended = T.timeout_opt (ms limit) (fun () -> C.sleep (ms sleep)) <> None in
                   let took = (C.monotonic_ns () - start + 500) / 1_000_000 in
                   log := (C.monotonic_ns (), ended, sleep, limit, took) :: !log)
                 plan)))
      plans
  in
  V.run virtual_;
  let moments = List.rev_map (fun (at, _, _, _, _) -> at) !log in
  List.sort compare moments = moments
  && List.length moments = List.length (List.concat plans)
  && List.for_all
       (fun (_, ended, sleep, limit, took) ->
         took = min sleep limit && (sleep = limit || ended = (sleep < limit)))
       !log

let gen_times = QCheck2.Gen.(list_size (int_bound 60) (int_range 1 40))

let gen_plans =
  let open QCheck2.Gen in
  let step = pair (int_range 1 50) (int_range 1 50) in
  list_size (int_bound 12) (list_size (int_bound 8) step)

let tests =
  [
    in_virtual "sleeps" sleeps;
    in_virtual "timeouts" timeouts;
    in_virtual "retries" retries;
    in_virtual "supervisors" supervised;
    test "the same each time" deterministic;
    test "time of day" time_of_day;
    test "far in the future" far;
    test "one inside another" nested;
    test "the machine's clock afterwards" afterwards;
    in_virtual "cancellation" cancelled_inside;
    test "deadlock" deadlock;
    test "tasks outside" outside;
    test "devices" devices;
    test "devices that wait" devices_that_wait;
    in_virtual "advance" advances;
    test "advance outside" not_outside;
    property "timers in the order of their times" gen_times in_order;
    property "timeouts in the order of their times" gen_plans in_order_of_steps;
  ]
