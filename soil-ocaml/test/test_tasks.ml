open Check

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
  fails_with "too slow" Timed_out (fun () -> T.timeout 0.01 (fun () -> Soil.Clock.sleep infinity));
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
        for _ = 1 to 2000 do
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

let tests =
  [
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
    in_run "a cancelled timeout isn't a timeout" timeout_or_cancelled;
    in_run "both, all, iter, first" together;
    test "deadlock is an error" deadlock;
    test "run inside of run" nested;
    test "outside of run calls block" outside;
    in_run "nothing leaks" no_leak;
    property_in_run "structure holds for trees of scopes" gen_tree structure;
  ]
