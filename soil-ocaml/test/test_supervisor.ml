(* Soil.Supervisor, rule by rule; test_supervisor_trees.ml has random trees. *)
open Check
open Supervised

let state s name =
  match List.find_opt (fun (h : S.health) -> h.name = name) (S.health s) with
  | Some { state = Ended reason; _ } -> "ended: " ^ S.reason_to_string reason
  | Some { state = Ready; _ } -> "ready"
  | Some _ -> "neither"
  | None -> "none"

(* What happens from [act] on, to the children a, b and c. *)
let after ?rule ?restart act =
  let say, said = logger () in
  run ?rule (fun s ->
      let a = told say "a" and b = told say "b" and c = told say "c" in
      ignore (add s a);
      ignore (add ?restart s b);
      ignore (add s c);
      say "|";
      act s b;
      say "|";
      S.stop s);
  String.concat " " (said ())

let failing s b = tell s b Fail
let returning s b = tell s b Return
let nothing _ _ = ()

let rules () =
  string "order" "+a +b +c | | -c -b -a" (after nothing);
  string "one" "+a +b +c | -b +b | -c -b -a" (after failing);
  string "all" "+a +b +c | -b -c -a +a +b +c | -c -b -a" (after ~rule:All failing);
  string "rest" "+a +b +c | -b -c +b +c | -c -b -a" (after ~rule:Rest failing)

let restarts () =
  string "always" "+a +b +c | -b +b | -c -b -a" (after ~restart:Always returning);
  string "done" "+a +b +c | -b | -c -a" (after ~restart:On_failure ~rule:All returning);
  string "failed" "+a +b +c | -b +b | -c -b -a" (after ~restart:On_failure failing);
  string "never" "+a +b +c | -b | -c -a" (after ~restart:Never ~rule:All failing)

(* The one that is never started again is stopped with the others all the same. *)
let never_in_a_group () =
  let say, said = logger () in
  run ~rule:All (fun s ->
      let a = told say "a" in
      ignore (add s a);
      ignore (add ~restart:Never s (told say "b"));
      tell s a Fail;
      string "b" "ended: stopped" (state s "b");
      S.stop s);
  strings "order" [ "+a"; "+b"; "-a"; "-b"; "+a"; "-a" ] (said ())

let ready_before_the_next () =
  let say, said = logger () in
  run (fun s ->
      let slow name =
        ignore
          (S.add s name (fun _ ->
               say (name ^ " starts");
               Soil.Clock.sleep 0.002;
               say (name ^ " is ready")))
      in
      slow "a";
      slow "b";
      bool "not up before the body has returned" false (S.is_up s);
      S.stop s);
  strings "order" [ "a starts"; "a is ready"; "b starts"; "b is ready" ] (said ())

exception Odd

let gives_up () =
  let say, said = logger () in
  let cancelled = ref false in
  (match
     run ~limit:{ restarts = 2; within = infinity } (fun s ->
         let a = told say "a" and b = told say "b" in
         ignore (add s a);
         ignore (add s b);
         tell s a Fail;
         tell s b Fail;
         try tell s a Fail
         with T.Cancelled as e ->
           cancelled := true;
           raise e)
   with
  | () -> Alcotest.fail "it went on"
  | exception S.Gave_up { message; child; reason = Failed (Told _, _) } ->
      string "child" "a" child;
      bool message true
        (String.starts_with ~prefix:"a: more than 2 restarts in inf s, the last after: " message)
  | exception S.Gave_up _ -> Alcotest.fail "another reason");
  bool "the body was cancelled" true !cancelled;
  strings "order" [ "+a"; "+b"; "-a"; "+a"; "-b"; "+b"; "-a"; "-b" ] (said ())

(* Failures that lie further apart than the limit's time don't add up. *)
let failures_are_forgotten () =
  let starts = ref 0 in
  run ~limit:{ restarts = 1; within = 0.001 } (fun s ->
      let work () =
        Soil.Clock.sleep 0.002;
        if !starts < 5 then raise Odd
      in
      ignore (S.add ~restart:On_failure s "a" (fun _ -> incr starts) ~run:work);
      until (fun () -> state s "a" = "ended: returned");
      S.stop s);
  int "starts" 5 !starts

(* The delays double while the child fails, and begin again after it has been ready for long. *)
let delays_in_a_row () =
  let backoff = { S.first = 0.001; most = 0.002; jitter = 0. } in
  let turn = ref 0 and raised = ref 0. and waits = ref [] in
  let fail () =
    raised := Soil.Clock.monotonic ();
    raise Odd
  in
  let report _ (h : S.health) =
    match h.state with
    | Waiting at -> waits := (at -. !raised, at -. Soil.Clock.monotonic ()) :: !waits
    | _ -> ()
  in
  run ~backoff ~report (fun s ->
      let start _ =
        incr turn;
        if !turn = 2 then fail ()
      in
      let work () =
        if !turn = 4 then S.stop s;
        Soil.Clock.sleep 0.004;
        fail ()
      in
      ignore (S.add s "a" start ~run:work));
  let fits delay (from_the_failure, from_the_report) =
    bool "not too soon" true (from_the_failure >= delay -. 1e-9);
    bool "not too late" true (from_the_report <= delay +. 1e-9)
  in
  List.iter2 fits [ 0.001; 0.002; 0.001 ] (List.rev !waits)

let a_body_below_fails () =
  run (fun s ->
      let body s =
        ignore (add s (told ignore "b"));
        raise Odd
      in
      ignore (S.add_supervisor ~restart:Never s "a" body);
      (match S.health s with
      | [ { state = Ended (Failed (Odd, _)); children = []; _ } ] -> ()
      | list -> Alcotest.fail (S.health_to_string list));
      S.stop s)

let clean_scope () =
  let say, said = logger () in
  let turn = ref 0 in
  run (fun s ->
      let start scope =
        incr turn;
        let me = string_of_int !turn in
        say ("start " ^ me);
        T.on_release scope (fun () -> say ("released " ^ me));
        let beside () =
          try Soil.Clock.sleep infinity
          with T.Cancelled as e ->
            T.protect (fun () -> Soil.Clock.sleep 0.001);
            say ("task ended " ^ me);
            raise e
        in
        ignore (T.spawn scope beside);
        ignore (T.spawn_daemon scope beside)
      in
      let run () =
        T.yield ();
        if !turn = 1 then raise Odd else Soil.Clock.sleep infinity
      in
      ignore (S.add s "a" start ~run);
      until (fun () -> !turn = 2);
      await_stable s;
      S.stop s);
  let life n =
    List.map (fun what -> what ^ n) [ "start "; "task ended "; "task ended "; "released " ]
  in
  strings "order" (life "1" @ life "2") (said ())

(* A task of the child's scope is part of it. *)
let a_failing_task () =
  let starts = ref 0 in
  run (fun s ->
      let start scope =
        incr starts;
        if !starts = 1 then
          ignore
            (T.spawn scope (fun () ->
                 T.yield ();
                 raise Odd))
      in
      ignore (S.add s "a" start);
      until (fun () -> !starts = 2);
      await_stable s;
      string "a" "ready" (state s "a");
      S.stop s)

let values () =
  run (fun s ->
      let n = ref 0 and broken = ref (T.Promise.create ()) in
      let start scope =
        incr n;
        if !n > 1 then Soil.Clock.sleep 0.002;
        T.on_release scope (fun () -> Soil.Clock.sleep 0.001);
        broken := T.Promise.create ();
        !n
      in
      let a = S.add s "a" start ~run:(fun _ -> T.Promise.await !broken) in
      int "the first" 1 (S.get a);
      T.Promise.break !broken Odd;
      until (fun () -> S.get_opt a = None);
      int "the next, waited for" 2 (S.get a);
      S.remove a;
      bool "none" true (S.get_opt a = None);
      (match S.get a with
      | _ -> Alcotest.fail "a value of a child that is gone"
      | exception S.Gone ("a", Stopped) -> ());
      S.stop s)

let late () =
  let starts = ref 0 in
  run (fun s ->
      let start _ =
        incr starts;
        if !starts < 3 then Soil.Clock.sleep infinity
      in
      ignore (S.add ~start_within:0.001 s "a" start);
      (match S.health s with
      (* Where this process had to wait for its turn, a start was too late before it was called. *)
      | [ { state = Ready; restarts; last = Some Late; _ } ] when restarts >= 2 -> ()
      | list -> Alcotest.fail (S.health_to_string list));
      S.stop s);
  int "starts" 3 !starts

let no_time_at_all () =
  run (fun s ->
      ignore (S.add ~restart:Never ~start_within:0. s "a" (fun _ -> Alcotest.fail "it ran"));
      string "a" "ended: not ready in time" (state s "a");
      S.stop s)

(* One that doesn't end in time doesn't keep the others from being stopped, and nothing is left when
   the supervisor has ended. *)
let overdue () =
  let say, said = logger () in
  let let_go = T.Promise.create () in
  run (fun s ->
      ignore (add s (told say "a"));
      let holds () =
        T.protect (fun () -> T.Promise.await let_go);
        say "b let go"
      in
      ignore (S.add ~stop_within:0.001 s "b" (fun _ -> ()) ~run:holds);
      T.scope (fun scope ->
          ignore (T.spawn scope (fun () -> S.stop s));
          until (fun () -> List.mem "-a" (said ()));
          (match List.rev (S.health s) with
          | { state = Overdue; _ } :: _ -> ()
          | list -> Alcotest.fail (S.health_to_string list));
          T.Promise.fulfil let_go ()));
  strings "order" [ "+a"; "-a"; "b let go" ] (said ())

let cancelled () =
  let say, said = logger () in
  T.scope (fun scope ->
      let task =
        T.spawn scope (fun () ->
            run (fun s ->
                ignore (add s (told say "a"));
                S.add_supervisor s "below" (fun s ->
                    ignore (add s (told say "b"));
                    ignore (add s (told say "c")))
                |> ignore;
                ignore (add s (told say "d"));
                say "up"))
      in
      until (fun () -> List.mem "up" (said ()));
      T.cancel task;
      match T.await task with
      | () -> Alcotest.fail "cancelled, and returned"
      | exception T.Cancelled -> ());
  strings "order" [ "+a"; "+b"; "+c"; "+d"; "up"; "-d"; "-c"; "-b"; "-a" ] (said ())

let body_fails () =
  let say, said = logger () in
  (match
     run (fun s ->
         ignore (add s (told say "a"));
         ignore (add s (told say "b"));
         raise Odd)
   with
  | () -> Alcotest.fail "it returned"
  | exception Odd -> ());
  strings "order" [ "+a"; "+b"; "-b"; "-a" ] (said ())

let nested () =
  let say, said = logger () in
  run (fun s ->
      let b = told say "b" in
      ignore (add s (told say "a"));
      ignore
        (S.add_supervisor s "below" ~backoff:at_once ~limit:{ restarts = 1; within = infinity }
           (fun s ->
             ignore (add s b);
             ignore (add s (told say "c"))));
      tell s b Fail;
      string "health"
        ("a: ready\nbelow: ready\n" ^ "  b: ready, 1 restart, the last time: "
       ^ Printexc.to_string (Told "b") ^ "\n  c: ready\n")
        (S.health_to_string (S.health s));
      string "printed"
        (S.health_to_string (S.health s))
        (Format.asprintf "%a" S.pp_health (S.health s));
      string "a reason" "not ready in time" (Format.asprintf "%a" S.pp_reason Late);
      say "|";
      tell s b Fail;
      (match S.health s with
      | [ _; { restarts = 1; last = Some (Failed (S.Gave_up { child = "below/b"; _ }, _)); _ } ] ->
          ()
      | list -> Alcotest.fail (S.health_to_string list));
      say "|";
      S.stop s);
  string "order" "+a +b +c -b +b | -b -c +b +c | -c -b -a" (String.concat " " (said ()))

let added_and_removed () =
  let say, said = logger () in
  run (fun s ->
      let a = add s (told say "a") in
      ignore (add s (told say "b"));
      is_invalid "the same name" (fun () -> add s (told say "a"));
      is_invalid "no name" (fun () -> S.add s "" ignore);
      is_invalid "a path" (fun () -> S.add s "a/b" ignore);
      is_invalid "a negative time" (fun () -> S.add ~stop_within:(-1.) s "x" ignore);
      S.remove a;
      S.remove a;
      string "a" "none" (state s "a");
      ignore (add s (told say "a"));
      S.stop s;
      fails_with "after stop" Closed (fun () -> S.add s "late" ignore));
  strings "order" [ "+a"; "+b"; "-a"; "+a"; "-a"; "-b" ] (said ())

let removes_itself () =
  run (fun s ->
      let own = T.Promise.create () in
      let run () =
        match S.remove (T.Promise.await own) with
        | () -> Alcotest.fail "still there"
        | exception (T.Cancelled as e) -> raise e
      in
      T.Promise.fulfil own (S.add s "a" ignore ~run);
      until (fun () -> S.health s = []);
      S.stop s)

let removed_while_all_stop () =
  run (fun s ->
      let let_go = T.Promise.create () in
      let a = S.add s "a" ignore ~run:(fun () -> T.protect (fun () -> T.Promise.await let_go)) in
      T.scope (fun scope ->
          ignore (T.spawn scope (fun () -> S.remove a));
          T.yield ();
          ignore (T.spawn scope (fun () -> S.stop s));
          T.yield ();
          T.Promise.fulfil let_go ());
      string "a" "none" (state s "a"))

let stopped_by_a_child () =
  let say, said = logger () in
  run (fun s ->
      ignore (add s (told say "a"));
      ignore (S.add s "b" ignore ~run:(fun () -> S.stop s)));
  strings "order" [ "+a"; "-a" ] (said ())

(* Reports see each state, and an exception of theirs changes nothing. *)
let reports () =
  let seen = ref [] in
  let report path (h : S.health) =
    let state =
      match h.state with
      | Starting -> "starting"
      | Ready -> "ready"
      | Waiting _ -> "waiting"
      | Stopping -> "stopping"
      | Overdue -> "overdue"
      | Ended _ -> "ended"
    in
    seen := (path ^ " " ^ state) :: !seen
  in
  run ~report (fun s ->
      let b = told ignore "b" in
      ignore (S.add_supervisor s "a" ~backoff:at_once (fun s -> ignore (add s b)));
      tell s b Fail;
      S.stop s);
  strings "states"
    [
      "a starting"; "a/b starting"; "a/b ready"; "a ready"; "a/b stopping"; "a/b waiting";
      "a/b starting"; "a/b ready"; "a stopping"; "a/b stopping"; "a/b ended"; "a ended";
    ]
    (List.rev !seen) [@ocamlformat "disable"]

let failing_report () =
  let say, said = logger () in
  run
    ~report:(fun _ _ -> failwith "expected by the test")
    (fun s ->
      ignore (add s (told say "a"));
      S.stop s);
  strings "order" [ "+a"; "-a" ] (said ())

let up () =
  let seen = ref [] in
  run (fun s ->
      let b = told ignore "b" in
      ignore (S.add_supervisor s "a" ~backoff:at_once (fun s -> ignore (add ~restart:Never s b)));
      let sample () = seen := S.is_up s :: !seen in
      sample ();
      let outside _ =
        until (fun () -> S.is_up s);
        sample ();
        tell s b Fail;
        sample ();
        S.stop s
      in
      ignore (S.add s "watch" ignore ~run:outside));
  Alcotest.(check (list bool))
    "in the body, then, after a failure" [ false; true; false ] (List.rev !seen)

let ranges () =
  let refused what ?limit ?backoff () =
    is_invalid what (fun () -> S.run ?limit ?backoff (fun _ -> ()))
  in
  refused "restarts" ~limit:{ restarts = -1; within = 1. } ();
  refused "within" ~limit:{ restarts = 1; within = 0. } ();
  refused "no number" ~limit:{ restarts = 1; within = nan } ();
  refused "most" ~backoff:{ first = 2.; most = 1.; jitter = 0. } ();
  refused "jitter" ~backoff:{ first = 1.; most = 2.; jitter = 1.5 } ()

let delays =
  let open QCheck2.Gen in
  let gen =
    let* first = float_range 0. 3. in
    let* most = map (fun x -> first +. x) (float_range 0. 100.) in
    let* jitter = float_range 0. 1. in
    let* random = float_range 0. 1. in
    let+ failures = int_range 1 2000 in
    ({ S.first; most; jitter }, failures, random)
  in
  property "delays double up to the most, less their random part" gen (fun (b, failures, random) ->
      let whole = min b.most (b.first *. (2. ** Float.of_int (failures - 1))) in
      let expected = whole *. (1. -. (b.jitter *. random)) in
      let got = S.delay b ~failures ~random in
      abs_float (got -. expected) <= 1e-9 *. (1. +. expected))

let tests =
  [
    in_run "one, all or the rest are started again, in order" rules;
    in_run "always, on failure or never" restarts;
    in_run "what is never started again is stopped with its group" never_in_a_group;
    in_run "each is ready before the next starts" ready_before_the_next;
    in_run "too many failures end the supervisor, with the reason" gives_up;
    in_run "failures outside of the limit's time don't count" failures_are_forgotten;
    in_run "delays double, and begin again after a time without failures" delays_in_a_row;
    in_run "a restart finds nothing of what was before" clean_scope;
    in_run "a task of a child that fails ends the child" a_failing_task;
    in_run "a child's value is that of the one that runs" values;
    in_run "a start that takes too long is a failure" late;
    in_run "what has no time to start doesn't run" no_time_at_all;
    in_run "one that doesn't end holds up nothing but the end" overdue;
    in_run "cancelling stops the tree in reverse order" cancelled;
    in_run "an exception of the body stops the children" body_fails;
    in_run "an exception of a body below is a failure" a_body_below_fails;
    in_run "a supervisor that gives up is a child that failed" nested;
    in_run "children are added and removed while it runs" added_and_removed;
    in_run "a child removes itself" removes_itself;
    in_run "what is removed is gone when all have stopped" removed_while_all_stop;
    in_run "a child stops the supervisor" stopped_by_a_child;
    in_run "each change of a state is reported" reports;
    in_run "a report that raises changes nothing" failing_report;
    in_run "it is up when all of its tree is" up;
    in_run "numbers out of range are refused" ranges;
    delays;
  ]
