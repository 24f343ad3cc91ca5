(* Promises of Lwt beside tasks: without Unix, and by the engine. *)

module T = Soil.Task
module P = Soil.Task.Promise

let string = Alcotest.(check string)
let int = Alcotest.(check int)
let bool = Alcotest.(check bool)
let strings = Alcotest.(check (list string))

(* Whatever hangs is a failure. *)
let test name f =
  Alcotest.test_case name `Quick (fun () -> Soil_lwt.run (fun () -> T.timeout 60. f))

let ( let* ) = Lwt.bind

let raises what expected f =
  match f () with
  | _ -> Alcotest.fail (what ^ ": no exception")
  | exception e -> string what expected (Printexc.to_string e)

let invalid what f =
  match f () with _ -> Alcotest.fail (what ^ ": accepted") | exception Invalid_argument _ -> ()

let values () =
  int "resolved" 1 (Soil_lwt.await (Lwt.return 1));
  raises "rejected" "Not_found" (fun () -> Soil_lwt.await (Lwt.fail Not_found));
  let p, resolver = Lwt.wait () in
  let waiting =
    T.all
      [
        (fun () -> Soil_lwt.await p);
        (fun () ->
          Lwt.wakeup resolver 2;
          3);
      ]
  in
  Alcotest.(check (list int)) "later" [ 2; 3 ] waiting;
  let p, resolver = Lwt.wait () in
  let reject () = Lwt.wakeup_exn resolver Not_found in
  let both () = T.both (fun () -> Soil_lwt.await p) reject in
  raises "rejected later" "Not_found" both;
  int "a task" 4
    (Soil_lwt.await
       (Soil_lwt.task (fun () ->
            T.yield ();
            4)));
  raises "a task that fails" "Stdlib.Exit" (fun () ->
      Soil_lwt.await (Soil_lwt.task (fun () -> raise Exit)));
  raises "a function that raises" "Stdlib.Exit" (fun () ->
      Soil_lwt.run_promise (fun () -> raise Exit))

(* Lwt's code pauses and waits for tasks; tasks go on meanwhile. *)
let both_at_once () =
  let log = ref [] in
  let note s = log := s :: !log in
  let rec in_lwt n =
    if n = 0 then Lwt.return "done"
    else (
      note "lwt";
      let* () = Lwt.pause () in
      let* () = Soil_lwt.task (fun () -> Soil.Clock.sleep 0.001) in
      in_lwt (n - 1))
  in
  let ticking = ref true and ticks = ref 0 in
  let tick () =
    while !ticking do
      incr ticks;
      T.yield ()
    done
  in
  let result () =
    let result = Soil_lwt.run_promise (fun () -> in_lwt 3) in
    ticking := false;
    result
  in
  let result, () = T.both result tick in
  string "result" "done" result;
  strings "turns" [ "lwt"; "lwt"; "lwt" ] !log;
  bool "tasks ran" true (!ticks > 3)

let pauses_forever () =
  let stopped = ref false in
  let rec spin () = if !stopped then Lwt.return_unit else Lwt.bind (Lwt.pause ()) spin in
  let stop () =
    for _ = 1 to 10 do
      T.yield ()
    done;
    stopped := true
  in
  ignore (T.both (fun () -> Soil_lwt.run_promise spin) stop)

let cancellation () =
  (* From a task to a promise. *)
  let p, _ = Lwt.task () in
  let finalized = ref false in
  let q =
    Lwt.finalize
      (fun () -> p)
      (fun () ->
        finalized := true;
        Lwt.return_unit)
  in
  (match T.timeout_opt 0.001 (fun () -> Soil_lwt.await q) with
  | Some () -> Alcotest.fail "not cancelled"
  | None -> ());
  T.yield ();
  bool "cancelled" true (Lwt.state p = Fail Lwt.Canceled);
  bool "unwound" true !finalized;
  (* One that is to stay. *)
  let p, _ = Lwt.task () in
  ignore (T.timeout_opt 0.001 (fun () -> Soil_lwt.await (Lwt.protected p)));
  T.yield ();
  bool "protected" true (Lwt.state p = Sleep);
  (* From a promise to a task. *)
  let unwound = P.create () in
  let p =
    Soil_lwt.task (fun () ->
        Fun.protect ~finally:(P.fulfil unwound) (fun () -> Soil.Clock.sleep infinity))
  in
  T.yield ();
  Lwt.cancel p;
  P.await unwound;
  raises "its promise" "Lwt.Resolution_loop.Canceled" (fun () -> Soil_lwt.await p);
  (* The first of two: the other is a task. *)
  let slow () =
    Soil_lwt.task (fun () ->
        Soil.Clock.sleep infinity;
        "slow")
  in
  string "pick" "fast"
    (Soil_lwt.run_promise (fun () ->
         Lwt.pick [ slow (); Lwt.pause () |> Lwt.map (fun () -> "fast") ]))

(* A task that is cancelled before its first turn. *)
let never_begun () =
  let p = ref Lwt.return_unit and told = ref "" in
  let main () =
    let tell e =
      told := Printexc.to_string e;
      Lwt.fail e
    in
    p := Lwt.catch (fun () -> Soil_lwt.task (fun () -> Alcotest.fail "it ran")) tell;
    raise Exit
  in
  (try Soil_lwt.run main with Exit -> ());
  bool "rejected" true (Lwt.state !p = Fail Lwt.Canceled);
  string "callbacks ran" "Lwt.Resolution_loop.Canceled" !told

let misuse () =
  let inside = ref "" in
  let wait_inside () =
    (try Soil_lwt.await (fst (Lwt.wait ())) with Invalid_argument e -> inside := e);
    Lwt.return_unit
  in
  Soil_lwt.run_promise wait_inside;
  string "in a callback" "Soil_lwt: a callback of Lwt can't wait for a promise: use Lwt.bind"
    !inside;
  (* A task of a callback may wait. *)
  let task () = Soil_lwt.task (fun () -> Soil_lwt.await (Lwt.map (fun () -> 5) (Lwt.pause ()))) in
  int "in its task" 5 (Soil_lwt.run_promise task)

(* What tasks do while they unwind may need Lwt, also when all of the program is to stop. *)
let unwinding () =
  let said = ref "nothing" in
  let say () = Soil_lwt.run_promise (fun () -> Lwt.map (fun () -> said := "bye") (Lwt.pause ())) in
  let clean_up () = T.protect (fun () -> ignore (T.timeout_opt 10. say)) in
  let work () = Fun.protect ~finally:clean_up (fun () -> Soil.Clock.sleep infinity) in
  ignore (Soil_lwt.run (fun () -> T.timeout_opt 0.001 work));
  string "a task" "bye" !said;
  said := "nothing";
  let begun = P.create () in
  let work () =
    Fun.protect ~finally:clean_up (fun () ->
        P.fulfil begun ();
        Soil.Clock.sleep infinity)
  in
  Soil.run (fun () ->
      T.scope (fun s ->
          let t = T.spawn s (fun () -> Soil_lwt.run work) in
          P.await begun;
          T.cancel t));
  string "all" "bye" !said

let outside () =
  invalid "task" (fun () -> Soil_lwt.task ignore);
  invalid "await" (fun () -> Soil_lwt.await (fst (Lwt.wait ())));
  int "a result" 6 (Soil_lwt.await (Lwt.return 6));
  int "again" 7
    (Soil_lwt.run (fun () -> Soil_lwt.run (fun () -> Soil_lwt.await (Soil_lwt.task (fun () -> 7)))));
  (* The promise of a task that is left over: [run] waits for the task. *)
  let ended = ref false in
  Soil_lwt.run (fun () ->
      ignore
        (Soil_lwt.task (fun () ->
             Soil.Clock.sleep 0.001;
             ended := true)));
  bool "waited" true !ended

let tests =
  [
    test "values" values;
    test "both at once" both_at_once;
    test "pauses for ever" pauses_forever;
    test "cancellation" cancellation;
    test "misuse" misuse;
    Alcotest.test_case "a task that never begins" `Quick never_begun;
    Alcotest.test_case "unwinding" `Quick unwinding;
    Alcotest.test_case "outside" `Quick outside;
  ]
