open Check
module D = Soil.File_descriptor

exception Broken of int

let[@inline never] break_at n = if n >= 0 then raise (Broken n) else n

let contains text part =
  let n = String.length part in
  let rec at i = i + n <= String.length text && (String.sub text i n = part || at (i + 1)) in
  at 0

let order () =
  let say, said = logger () in
  T.scope (fun s ->
      List.iter
        (fun name ->
          ignore
            (T.spawn s (fun () ->
                 for i = 1 to 3 do
                   say (name ^ string_of_int i);
                   T.yield ()
                 done)))
        [ "a"; "b"; "c" ]);
  strings "turns" [ "a1"; "b1"; "c1"; "a2"; "b2"; "c2"; "a3"; "b3"; "c3" ] (said ())

(* One that never has to wait can't keep the others from running. *)
let fairness () =
  let r, w = Soil.pipe () in
  let others = ref 0 and stop = ref false in
  T.scope (fun s ->
      ignore
        (T.spawn s (fun () ->
             let b = Bytes.create 1 in
             while not !stop do
               Soil.File_descriptor.write w b 0 1;
               Soil.File_descriptor.really_read r b 0 1
             done));
      ignore
        (T.spawn s (fun () ->
             for _ = 1 to 100 do
               incr others;
               T.yield ()
             done;
             stop := true)));
  int "turns of the other" 100 !others

let timers_while_busy () =
  let fired = ref false in
  T.scope (fun s ->
      ignore
        (T.spawn s (fun () ->
             Soil.Clock.sleep 0.01;
             fired := true));
      while not !fired do
        T.yield ()
      done)

let scope_waits () =
  let ended = ref 0 in
  let v =
    T.scope (fun s ->
        for i = 1 to 10 do
          ignore
            (T.spawn s (fun () ->
                 Soil.Clock.sleep (0.001 *. float i);
                 incr ended))
        done;
        "result")
  in
  string "result" "result" v;
  int "ended" 10 !ended

let ended_scope () =
  let kept = ref None in
  T.scope (fun s -> kept := Some s);
  is_invalid "spawn" (fun () -> T.spawn (Option.get !kept) ignore)

let failure_cancels () =
  let say, said = logger () in
  (match
     T.scope (fun s ->
         ignore
           (T.spawn s (fun () ->
                Fun.protect
                  ~finally:(fun () -> say "sibling unwound")
                  (fun () -> Soil.Clock.sleep infinity)));
         ignore
           (T.spawn s (fun () ->
                T.yield ();
                ignore (break_at 3)));
         Fun.protect ~finally:(fun () -> say "body unwound") (fun () -> Soil.Clock.sleep infinity))
   with
  | () -> say "no failure"
  | exception Broken n ->
      let trace = Printexc.get_backtrace () in
      say (Printf.sprintf "failed with %d" n);
      bool "backtrace" true (contains trace "break_at"));
  strings "order"
    [ "body unwound"; "failed with 3"; "sibling unwound" ]
    (List.sort compare (said ()))

let first_failure_counts () =
  match
    T.scope (fun s ->
        ignore
          (T.spawn s (fun () ->
               try Soil.Clock.sleep infinity with T.Cancelled -> raise (Broken 2)));
        ignore (T.spawn s (fun () -> raise (Broken 1)));
        T.yield ())
  with
  | () -> Alcotest.fail "no failure"
  | exception Broken n -> int "the first" 1 n

let await_result () =
  T.scope (fun s ->
      let t =
        T.spawn s (fun () ->
            T.yield ();
            7)
      in
      bool "running" true (T.result t = None);
      int "awaited" 7 (T.await t);
      int "again" 7 (T.await t);
      bool "known" true (T.result t = Some (Ok 7)))

let cancel_is_no_failure () =
  let v =
    T.scope (fun s ->
        let t = T.spawn s (fun () -> Soil.Clock.sleep infinity) in
        T.yield ();
        T.cancel t;
        (match T.await t with () -> Alcotest.fail "not cancelled" | exception T.Cancelled -> ());
        T.cancel t;
        5)
  in
  int "scope goes on" 5 v

let cancel_before_start () =
  let ran = ref false in
  T.scope (fun s ->
      let t = T.spawn s (fun () -> ran := true) in
      T.cancel t);
  bool "never started" false !ran

let cancel_scope () =
  let v =
    T.scope (fun s ->
        for _ = 1 to 5 do
          ignore (T.spawn s (fun () -> Soil.Clock.sleep infinity))
        done;
        T.yield ();
        T.cancel_scope s;
        "body's")
  in
  string "value" "body's" v

let cancelled_again () =
  let times = ref 0 in
  T.scope (fun s ->
      let t =
        T.spawn s (fun () ->
            for _ = 1 to 3 do
              try Soil.Clock.sleep infinity with T.Cancelled -> incr times
            done)
      in
      T.yield ();
      T.cancel t);
  int "at each call" 3 !times

let protect () =
  let say, said = logger () in
  T.scope (fun s ->
      let t =
        T.spawn s (fun () ->
            T.protect (fun () ->
                Soil.Clock.sleep 0.01;
                T.check ();
                say "protected part done");
            T.check ();
            say "not reached")
      in
      T.yield ();
      T.cancel t);
  strings "said" [ "protected part done" ] (said ())

let timeouts () =
  fails_in_time "too slow" (fun () -> T.timeout 0.01 (fun () -> Soil.Clock.sleep infinity));
  int "in time" 1 (T.timeout patience (fun () -> 1));
  bool "option" true (T.timeout_opt 0.01 (fun () -> Soil.Clock.sleep infinity) = None);
  bool "inner first" true
    (T.timeout_opt patience (fun () -> T.timeout_opt 0.01 (fun () -> Soil.Clock.sleep infinity))
    = Some None);
  bool "outer first" true
    (T.timeout_opt 0.01 (fun () -> T.timeout_opt patience (fun () -> Soil.Clock.sleep infinity))
    = None);
  bool "zero" true (T.timeout_opt 0. (fun () -> Soil.Clock.sleep 1.) = None);
  bool "for ever" true (T.timeout_opt infinity (fun () -> 2) = Some 2);
  is_invalid "not a number" (fun () -> T.timeout nan ignore)

(* A function's own limit is an error of Soil, that of a task around it isn't. *)
let kinds_of_timeout () =
  let socket = Soil.Udp.bind ~address:Soil.Net.loopback ~port:0 () in
  D.with_close socket @@ fun socket ->
  let receive ?timeout () = ignore (Soil.Udp.receive ?timeout socket (Bytes.create 1) 0 1) in
  List.iter
    (fun (seconds, words) ->
      string words
        ("wait: timed out after " ^ words ^ " s")
        (match receive ~timeout:seconds () with
        | () -> "no timeout"
        | exception Soil.Error e -> Soil.Error.to_string e);
      bool "around it" true
        (match T.timeout seconds receive with () -> false | exception T.Timeout s -> s = seconds))
    [ (0.01, "0.01"); (-2., "-2"); (0., "0") ]

(* A failure that is a value cancels nothing; a cancellation isn't a failure. *)
let results () =
  let say, said = logger () in
  T.scope (fun s ->
      let fails = T.spawn_result s (fun () -> break_at 3) in
      let other = T.spawn_result s (fun () -> T.yield (); T.yield (); "other") in
      let sleeps = T.spawn_result s (fun () -> Soil.Clock.sleep infinity) in
      let lent = T.spawn_result s (fun () -> T.await sleeps) in
      (match T.await fails with
      | Error (Broken 3) -> say "a value"
      | Ok _ | Error _ -> say "something else");
      bool "known" true (T.result fails = Some (Ok (Error (Broken 3))));
      (match T.await other with Ok v -> say v | Error _ -> say "cancelled with it");
      T.cancel sleeps;
      (match T.await sleeps with
      | Ok () | Error _ -> say "a value"
      | exception T.Cancelled -> say "cancelled");
      match T.await lent with
      | Error T.Cancelled -> say "another's cancellation is a failure"
      | Ok _ | Error _ -> say "something else");
  strings "said"
    [ "a value"; "other"; "cancelled"; "another's cancellation is a failure" ]
    (said ())
[@@ocamlformat "disable"]

(* The scope's end cancels daemons, after its tasks; their failures are the scope's. *)
let daemons () =
  let say, said = logger () in
  let v =
    T.scope (fun s ->
        let forever name () =
          Fun.protect
            ~finally:(fun () -> say (name ^ " unwound"))
            (fun () -> Soil.Clock.sleep infinity)
        in
        let first = T.spawn_daemon s (forever "first") in
        ignore (T.spawn_daemon s (forever "second"));
        let third = T.spawn_daemon s (fun () -> 3) in
        T.yield ();
        int "ended by itself" 3 (T.await third);
        T.cancel first;
        (match T.await first with () -> () | exception T.Cancelled -> say "first is over");
        ignore
          (T.spawn s (fun () ->
               Soil.Clock.sleep 0.01;
               (* The scope waits for a task that a daemon starts. *)
               ignore (T.spawn_daemon s (forever "fourth"));
               say "task ended"));
        say "body ended";
        5)
  in
  int "value" 5 v;
  strings "order"
    [
      "first unwound"; "first is over"; "body ended"; "task ended"; "fourth unwound";
      "second unwound";
    ]
    (match said () with
    | [ a; b; c; d; e; f ] -> [ a; b; c; d; min e f; max e f ]
    | other -> other);
  let scope s =
    ignore (T.spawn_daemon s (fun () -> break_at 4));
    Soil.Clock.sleep infinity
  in
  (match T.scope scope with
  | () -> Alcotest.fail "no failure"
  | exception Broken n -> int "of the scope" 4 n);
  let kept = ref None in
  T.scope (fun s -> kept := Some s);
  is_invalid "ended" (fun () -> T.spawn_daemon (Option.get !kept) ignore)
[@@ocamlformat "disable"]

(* Release functions run after all tasks, last one first, in every case, and may wait. *)
let releases () =
  let say, said = logger () in
  let owned scope =
    let r, w = Soil.pipe () in
    T.on_release scope (fun () -> Soil.File_descriptor.close r; say "r");
    T.on_release scope (fun () -> Soil.Clock.sleep 0.001; Soil.File_descriptor.close w; say "w");
    (r, w)
  in
  let closed (r, w) = not (Soil.File_descriptor.is_open r || Soil.File_descriptor.is_open w) in
  let sleep () =
    Fun.protect ~finally:(fun () -> say "task") (fun () -> Soil.Clock.sleep 0.005)
  in
  let task s = ignore (T.spawn s sleep) in
  let ends = T.scope (fun s -> let ends = owned s in task s; ends) in
  bool "closed" true (closed ends);
  strings "order" [ "task"; "w"; "r" ] (said ());
  let ends = ref (Soil.pipe ()) in
  (match T.scope (fun s -> ends := owned s; task s; T.yield (); ignore (break_at 5)) with
  | () -> Alcotest.fail "no failure"
  | exception Broken n -> int "failure" 5 n);
  bool "closed after a failure" true (closed !ends);
  T.scope (fun s ->
      let t = T.spawn s (fun () -> T.scope (fun s -> ends := owned s; Soil.Clock.sleep infinity)) in
      T.yield ();
      T.cancel t);
  bool "closed after a cancellation" true (closed !ends);
  (* The first of failures counts, and keeps no other from being run. *)
  let count = ref 0 in
  let failing n s = T.on_release s (fun () -> incr count; ignore (break_at n)) in
  (match T.scope (fun s -> failing 8 s; failing 7 s) with
  | () -> Alcotest.fail "no failure"
  | exception Broken n -> int "the first" 7 n);
  (match T.scope (fun s -> failing 8 s; ignore (break_at 6)) with
  | () -> Alcotest.fail "no failure"
  | exception Broken n -> int "the body's" 6 n);
  int "all" 3 !count;
  let kept = ref None in
  T.scope (fun s ->
      kept := Some s;
      T.on_release s (fun () -> is_invalid "at the end" (fun () -> T.on_release s ignore)));
  is_invalid "ended" (fun () -> T.on_release (Option.get !kept) ignore)
[@@ocamlformat "disable"]

let timeout_or_cancelled () =
  T.scope (fun s ->
      let t = T.spawn s (fun () -> T.timeout_opt patience (fun () -> Soil.Clock.sleep infinity)) in
      T.yield ();
      T.cancel t;
      match T.await t with
      | _ -> Alcotest.fail "a timeout, and not the cancellation"
      | exception T.Cancelled -> ())

let together () =
  bool "both" true (T.both (fun () -> 1) (fun () -> "x") = (1, "x"));
  ints "all" [ 1; 2; 3 ] (T.all [ (fun () -> 1); (fun () -> T.yield (); 2); (fun () -> 3) ]);
  ints "none" [] (T.all []);
  int "first" 2
    (T.first [ (fun () -> Soil.Clock.sleep infinity; 1); (fun () -> T.yield (); 2) ]);
  is_invalid "first of none" (fun () -> T.first []);
  is_invalid "max" (fun () -> T.all ~max:0 []);
  let now = ref 0 and most = ref 0 in
  T.iter ~max:3
    (fun () ->
      incr now;
      most := max !most !now;
      T.yield ();
      decr now)
    (List.init 20 ignore);
  int "at most 3" 3 !most
[@@ocamlformat "disable"]

(* Fibers of a run that failed wait in what the program shares with later runs. *)
let left_behind () =
  let promise = T.Promise.create () and mutex = T.Mutex.create () in
  let semaphore = T.Semaphore.create 0 in
  let scope = ref None and task = ref None and resumed = ref 0 in
  let wait_for f () =
    T.protect f;
    incr resumed
  in
  string "a run that fails" "deadlock"
    (error_code (fun () ->
         Soil.run @@ fun () ->
         T.scope @@ fun s ->
         scope := Some s;
         task := Some (T.spawn s (wait_for (fun () -> T.Promise.await promise)));
         ignore (T.spawn s (wait_for (fun () -> T.Semaphore.acquire semaphore)));
         let wait = wait_for (fun () -> T.Promise.await promise) in
         ignore (T.spawn s (fun () -> T.Mutex.protect mutex wait))));
  let scope = Option.get !scope and task = Option.get !task in
  Soil.run (fun () ->
      T.Promise.fulfil promise ();
      T.Semaphore.release semaphore;
      int "the unit is there for others" 1 (T.Semaphore.available semaphore);
      T.cancel task;
      T.cancel_scope scope;
      is_invalid "spawning" (fun () -> T.spawn scope ignore);
      is_invalid "awaiting" (fun () -> T.await task);
      is_invalid "locking" (fun () -> T.Mutex.lock mutex);
      for _ = 1 to 5 do T.yield () done);
  int "resumed" 0 !resumed
[@@ocamlformat "disable"]

let deadlock () =
  let run f = error_code (fun () -> Soil.run f) in
  string "alone" "deadlock" (run (fun () -> T.Promise.await (T.Promise.create ())));
  let m = T.Mutex.create () in
  string "with others" "deadlock"
    (run (fun () ->
         T.Mutex.lock m;
         T.scope (fun s -> ignore (T.spawn s (fun () -> T.Mutex.lock m)))));
  string "protected" "deadlock"
    (run (fun () -> T.protect (fun () -> T.Promise.await (T.Promise.create ()))));
  string "outside of run" "deadlock" (error_code (fun () -> T.Promise.await (T.Promise.create ())));
  int "and it still works" 3 (Soil.run (fun () -> T.yield (); 3))
[@@ocamlformat "disable"]

let nested () = int "run in run" 4 (Soil.run (fun () -> Soil.run (fun () -> T.yield (); 4)))
[@@ocamlformat "disable"]

let outside () =
  Soil.Clock.sleep 0.002;
  T.yield ();
  let r, w = Soil.pipe () in
  Soil.File_descriptor.write_string w "abc";
  Soil.File_descriptor.close w;
  string "pipe" "abc" (Soil.File_descriptor.read_all r);
  int "scope" 9 (T.scope (fun s -> T.await (T.spawn s (fun () -> 9))));
  bool "timeout" true (T.timeout_opt 0.01 (fun () -> Soil.Clock.sleep infinity) = None)

(* Nothing stays of tasks, waits and timers that have ended. *)
let no_leak () =
  let round () =
    T.scope (fun s ->
        for _ = 1 to 20_000 do
          ignore (T.spawn s (fun () -> ignore (T.timeout_opt patience T.yield)))
        done)
  in
  let live () =
    Gc.full_major ();
    (Gc.stat ()).live_words
  in
  round ();
  let before = live () in
  for _ = 1 to 10 do
    round ()
  done;
  bool "live words" true (live () - before < 2000)

(* A tree of scopes and tasks of which some fail: no task runs after its scope, and the outcome is a
   failure iff a task failed. *)
type tree = Leaf of { turns : int; fails : bool } | Node of tree list

let gen_tree =
  let open QCheck2.Gen in
  let leaf = map2 (fun turns n -> Leaf { turns; fails = n = 0 }) (int_bound 5) (int_bound 12) in
  sized_size (int_bound 20)
  @@ fix (fun self n ->
         if n <= 1 then leaf
         else
           frequency
             [ (1, leaf); (3, map (fun l -> Node l) (list_size (int_bound 4) (self (n / 4)))) ])

let rec has_failure = function Leaf { fails; _ } -> fails | Node l -> List.exists has_failure l

let structure tree =
  let running = ref 0 in
  let rec go = function
    | Leaf { turns; fails } ->
        incr running;
        Fun.protect ~finally:(fun () -> decr running) @@ fun () ->
        for _ = 1 to turns do
          T.yield ()
        done;
        if fails then raise (Broken 0)
    | Node l -> T.scope (fun s -> List.iter (fun t -> ignore (T.spawn s (fun () -> go t))) l)
  in
  let failed = match go tree with () -> false | exception Broken _ -> true in
  !running = 0 && failed = has_failure tree

let lists () =
  let running = ref 0 and most = ref 0 in
  let work n =
    incr running;
    most := max !most !running;
    (* The later ones are ready first. *)
    for _ = 1 to 5 - n do
      T.yield ()
    done;
    decr running;
    10 * n
  in
  ints "in the list's order" [ 10; 20; 30 ] (T.map work [ 1; 2; 3 ]);
  int "at the same time" 3 !most;
  most := 0;
  ints "one at a time" [ 10; 20; 30 ] (T.map ~max:1 work [ 1; 2; 3 ]);
  int "one" 1 !most;
  ints "none" [] (T.map work []);
  ints "as they are ready" [ 10; 20; 30 ] (T.fold work (fun l n -> n :: l) [] [ 1; 2; 3 ]);
  bool "a failure" true
    (match T.fold (fun _ -> raise Exit) ( + ) 0 [ 1 ] with _ -> false | exception Exit -> true);
  is_invalid "max" (fun () -> T.map ~max:0 work [ 1 ])

let locals () =
  let a = T.Local.create () and b = T.Local.create () in
  let is what expected = bool what true (T.Local.get a = expected) in
  is "none" None;
  T.Local.with_ a 1 (fun () ->
      is "bound" (Some 1);
      bool "another key" true (T.Local.get b = None);
      T.Local.with_ b "x" (fun () -> is "beside another" (Some 1));
      T.scope (fun s ->
          let t =
            T.Local.with_ a 2 (fun () ->
                T.spawn s (fun () ->
                    is "inherited" (Some 2);
                    T.yield ();
                    T.Local.with_ a 3 T.yield;
                    is "kept" (Some 2)))
          in
          T.yield ();
          is "not that of another task" (Some 1);
          T.await t);
      (try T.Local.with_ a 4 (fun () -> raise Exit) with Exit -> ());
      is "after a failure" (Some 1));
  is "over" None

let owned () =
  let r, w = Soil.pipe () in
  T.scope (fun s ->
      let r = D.own s r in
      ignore (D.own s w);
      D.write_string w "x";
      int "open" 1 (D.read r (Bytes.create 1) 0 1));
  bool "closed" false (D.is_open r || D.is_open w);
  let r, w = Soil.pipe () in
  (try T.scope (fun s -> ignore (D.own s r); raise Exit) with Exit -> ());
  bool "after a failure" false (D.is_open r);
  let ended = T.scope Fun.id in
  is_invalid "ended" (fun () -> D.own ended w);
  bool "closed with it" false (D.is_open w)
[@@ocamlformat "disable"]

let streams_are_iterated () =
  let s = T.Stream.create 1 and got = ref [] in
  T.scope (fun scope ->
      let take () = T.Stream.iter (fun v -> got := v :: !got) s in
      ignore (T.spawn scope take);
      List.iter (T.Stream.push s) [ 1; 2; 3 ];
      T.Stream.close s);
  ints "all, to the end" [ 3; 2; 1 ] !got

(* [f ()] without memory for anything large; [None] before OCaml 5.3. *)
let without_memory f =
  let refuse (a : Gc.Memprof.allocation) = if a.size > 300 then raise Out_of_memory else None in
  let tracker = { Gc.Memprof.null_tracker with alloc_major = refuse } in
  match Gc.Memprof.start ~sampling_rate:1. ~callstack_size:0 tracker with
  | exception Failure _ -> None
  | profile ->
      let over () =
        Gc.Memprof.stop ();
        Gc.Memprof.discard profile
      in
      Some (Fun.protect ~finally:over f)

(* Waits, each with an alarm, until there is no memory for a larger heap of alarms. *)
let alarm_without_memory () =
  (* The scheduler has room for more tasks than will wait. *)
  T.scope (fun scope ->
      for _ = 1 to 2000 do
        ignore (T.spawn scope T.yield)
      done);
  let tasks () = (Soil.Machine.scheduler ()).tasks in
  let before = tasks () and failed = ref false in
  let c = T.Condition.create () in
  let wait () =
    try T.timeout Check.patience (fun () -> T.Condition.wait_no_mutex c)
    with Out_of_memory -> failed := true
  in
  T.scope (fun scope ->
      let fill () =
        while not !failed do
          ignore (T.spawn scope wait);
          T.yield ()
        done
      in
      if without_memory fill = None then Alcotest.skip ();
      (* The one that has failed isn't woken. *)
      T.Condition.broadcast c);
  int "each has ended once" before (tasks ())

let wake_without_memory () =
  let c = T.Condition.create () and ended = ref 0 in
  let wait () =
    T.Condition.wait_no_mutex c;
    incr ended
  in
  T.scope (fun scope ->
      for _ = 1 to 20_000 do
        ignore (T.spawn scope wait);
        T.yield ()
      done;
      if without_memory (fun () -> T.Condition.broadcast c) = None then Alcotest.skip ());
  int "all" 20_000 !ended

let tests =
  [
    (* First: others have the scheduler grow. *)
    in_run "tasks are woken without memory" wake_without_memory;
    in_run "turns are first come, first served" order;
    in_run "input and output that never waits gives way" fairness;
    in_run "timers go off while others are busy" timers_while_busy;
    in_run "a scope waits for its tasks" scope_waits;
    in_run "an ended scope takes no tasks" ended_scope;
    in_run "a failure cancels the rest and keeps its backtrace" failure_cancels;
    in_run "the first failure counts" first_failure_counts;
    in_run "await and result" await_result;
    in_run "cancelling a task isn't a failure" cancel_is_no_failure;
    in_run "a task cancelled before its start never runs" cancel_before_start;
    in_run "cancelling a scope" cancel_scope;
    in_run "cancellation comes at each wait" cancelled_again;
    in_run "protect" protect;
    in_run "timeouts" timeouts;
    in_run "limits of calls and of tasks" kinds_of_timeout;
    in_run "failures that are values" results;
    in_run "daemons" daemons;
    in_run "what a scope owns" releases;
    in_run "a cancelled timeout isn't a timeout" timeout_or_cancelled;
    in_run "both, all, iter, first" together;
    test "deadlock is an error" deadlock;
    test "what a failed run has left never goes on" left_behind;
    test "run inside of run" nested;
    test "outside of run calls block" outside;
    in_run "nothing leaks" no_leak;
    in_run "a wait ends without memory for its alarm" alarm_without_memory;
    property_in_run "structure holds for trees of scopes" gen_tree structure;
    in_run "lists at the same time" lists;
    in_run "values of a task" locals;
    in_run "a scope owns descriptors" owned;
    in_run "a stream is iterated to its end" streams_are_iterated;
  ]
