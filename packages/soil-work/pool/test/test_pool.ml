(* The order, ends and room of jobs, with workers that tests hold up. *)

module T = Soil.Task
module P = Soil_pool

let bool = Alcotest.(check bool)
let int = Alcotest.(check int)
let string = Alcotest.(check string)
let strings = Alcotest.(check (list string))
let patience = 120.
let in_run f = Soil.run (fun () -> T.timeout patience (fun () -> T.scope f))
let test name f = Alcotest.test_case name `Quick (fun () -> in_run f)

let rec until condition =
  if not (condition ()) then (
    Soil.Clock.sleep 0.0005;
    until condition)

(* A job that has begun, and ends when the test says so. *)
type gate = { begun : bool Atomic.t; opened : bool Atomic.t }

let new_gate () = { begun = Atomic.make false; opened = Atomic.make false }

let pass gate =
  Atomic.set gate.begun true;
  while not (Atomic.get gate.opened) do
    P.check ();
    Domain.cpu_relax ()
  done

let await_begin gate = until (fun () -> Atomic.get gate.begun)
let open_ gate = Atomic.set gate.opened true

(* A pool of one worker, which runs a job of this gate. *)
let held ?capacity scope =
  let pool = P.create ~workers:1 ?capacity scope in
  let gate = new_gate () in
  let task = T.spawn scope (fun () -> P.submit pool (fun () -> pass gate)) in
  await_begin gate;
  (pool, gate, task)

let results scope =
  let pool = P.create scope in
  bool "workers" true (P.workers pool >= 1);
  int "result" 42 (P.submit pool (fun () -> 6 * 7));
  let elsewhere = P.submit pool (fun () -> (Domain.self () :> int)) in
  bool "another domain" true (elsewhere <> (Domain.self () :> int));
  bool "room" true (P.try_submit pool (fun () -> 1) = Some 1);
  P.check ()

let exceptions scope =
  Printexc.record_backtrace true;
  let pool = P.create scope in
  (match P.submit pool (fun () -> 1 + failwith "of a job") with
  | _ -> Alcotest.fail "no exception"
  | exception Failure text ->
      let backtrace = Printexc.get_backtrace () in
      string "exception" "of a job" text;
      let has_line part =
        let n = String.length part in
        let rec at i =
          i + n <= String.length backtrace && (String.sub backtrace i n = part || at (i + 1))
        in
        at 0
      in
      bool "its backtrace" true (has_line "Test_pool.exceptions.(fun)"));
  (match P.submit pool (fun () -> Soil.Clock.sleep 1.) with
  | () -> Alcotest.fail "it waited"
  | exception Invalid_argument _ -> ());
  int "the worker goes on" 1 (P.submit pool (fun () -> 1));
  let rec deep n = 1 + deep (n + 1) in
  bool "stack overflow" true
    (match P.submit pool (fun () -> deep 0) with _ -> false | exception Stack_overflow -> true);
  int "and after that" 2 (P.submit pool (fun () -> 2))

(* Not before a second has passed since the collection for the stack that overflowed. *)
let exhausted scope =
  let collections () = (Soil.Budget.statistics ()).collections in
  let before = collections () and pool = P.create scope in
  let rec go () =
    (match P.submit pool (fun () -> raise Out_of_memory) with
    | () -> Alcotest.fail "no exception"
    | exception Out_of_memory -> ());
    if collections () = before then (
      Soil.Clock.sleep 0.1;
      go ())
  in
  go ()

let priorities scope =
  let pool, gate, task = held scope in
  let order = ref [] in
  let job (name, priority) =
    T.spawn scope @@ fun () ->
    P.submit ~priority pool (fun () -> ());
    order := name :: !order
  in
  let jobs =
    [ ("a", 0); ("b", 5); ("c", -1); ("d", 5); ("e", 0); ("f", max_int); ("g", min_int) ]
  in
  let tasks = List.map job jobs in
  until (fun () -> P.queued pool = List.length jobs);
  open_ gate;
  T.await task;
  List.iter T.await tasks;
  strings "order" [ "f"; "b"; "d"; "a"; "e"; "c"; "g" ] (List.rev !order)

let back_pressure scope =
  let pool, gate, task = held ~capacity:2 scope in
  let began = Atomic.make [] in
  let submit name priority =
    let note () =
      let rec add () =
        let before = Atomic.get began in
        if not (Atomic.compare_and_set began before (name :: before)) then add ()
      in
      add ()
    in
    T.spawn scope (fun () -> P.submit ~priority pool note)
  in
  let first = submit "first" 0 and second = submit "second" 0 in
  until (fun () -> P.queued pool = 2);
  let late = submit "late" 0 and urgent = submit "urgent" 1 and given_up = submit "given up" 2 in
  Soil.Clock.sleep 0.002;
  int "no more" 2 (P.queued pool);
  bool "full" true (P.try_submit pool ignore = None);
  T.cancel given_up;
  until (fun () -> T.result given_up <> None);
  open_ gate;
  List.iter T.await [ task; first; second; late; urgent ];
  let order = List.rev (Atomic.get began) in
  bool "all but one ran" true (List.sort compare order = [ "first"; "late"; "second"; "urgent" ]);
  let before a b = List.find (fun name -> name = a || name = b) order = a in
  bool "in order" true (before "first" "second" && before "urgent" "late");
  bool "room again" true (P.try_submit pool (fun () -> 3) = Some 3)

let cancelled_before scope =
  let pool, gate, task = held scope in
  let ran = Atomic.make false in
  let queued = T.spawn scope (fun () -> P.submit pool (fun () -> Atomic.set ran true)) in
  until (fun () -> P.queued pool = 1);
  T.cancel queued;
  until (fun () -> T.result queued <> None);
  int "taken back" 0 (P.queued pool);
  bool "the worker is busy" true (T.result task = None);
  open_ gate;
  T.await task;
  int "next" 1 (P.submit pool (fun () -> 1));
  bool "never ran" false (Atomic.get ran)

(* In one turn, the room that one gives back goes to one that is being cancelled, too. *)
let cancelled_together scope =
  let pool, gate, _ = held ~capacity:1 scope in
  Fun.protect ~finally:(fun () -> open_ gate) @@ fun () ->
  let turns () =
    for _ = 1 to 20 do
      T.yield ()
    done
  in
  let submit () = T.spawn scope (fun () -> P.submit pool ignore) in
  let queued = submit () in
  let outside = List.init 3 (fun _ -> submit ()) in
  turns ();
  int "queued" 1 (P.queued pool);
  bool "no room" true (P.try_submit pool ignore = None);
  (* The last one isn't cancelled. *)
  T.cancel queued;
  List.iteri (fun i task -> if i < 2 then T.cancel task) outside;
  turns ();
  int "the last one has the room" 1 (P.queued pool);
  T.cancel (List.nth outside 2);
  turns ();
  int "nobody has it" 0 (P.queued pool);
  ignore (submit ());
  turns ();
  int "the next one has it" 1 (P.queued pool)

(* Also where the scope fails, whose tasks wait for their jobs' ends. *)
let scope_fails _ =
  match
    T.scope (fun scope ->
        ignore (held scope);
        failwith "of the scope")
  with
  | () -> Alcotest.fail "no failure"
  | exception Failure _ -> ()

let cancelled_while_running scope =
  let pool, _, task = held scope in
  T.cancel task;
  until (fun () -> T.result task <> None);
  bool "it checks" true (T.result task = Some (Error T.Cancelled));
  (* One that never checks. *)
  let ended = Atomic.make false and gate = new_gate () in
  let stubborn () =
    Atomic.set gate.begun true;
    while not (Atomic.get gate.opened) do
      Domain.cpu_relax ()
    done;
    Atomic.set ended true;
    1
  in
  let task = T.spawn scope (fun () -> P.submit pool stubborn) in
  await_begin gate;
  T.cancel task;
  Soil.Clock.sleep 0.002;
  bool "awaited" true (T.result task = None);
  open_ gate;
  until (fun () -> T.result task <> None);
  bool "its end" true (Atomic.get ended);
  bool "no result" true (T.result task = Some (Error T.Cancelled));
  int "the next isn't cancelled" 1
    (P.submit pool (fun () ->
         P.check ();
         1))

let outcome f =
  match f () with
  | () -> "ended"
  | exception Soil.Error e -> Soil.Error.to_string e
  | exception Invalid_argument text -> text

let scope_ends scope =
  let gate = new_gate () in
  let outcomes = ref [] and pool = ref None in
  let submit_from_outside f =
    T.spawn scope @@ fun () ->
    let outcome = outcome (fun () -> P.submit (Option.get !pool) f) in
    outcomes := outcome :: !outcomes
  in
  let outside =
    T.scope @@ fun inner ->
    pool := Some (P.create ~workers:1 ~capacity:1 inner);
    let running = submit_from_outside (fun () -> pass gate) in
    await_begin gate;
    let queued = submit_from_outside ignore and waits = submit_from_outside ignore in
    until (fun () -> P.queued (Option.get !pool) = 1);
    ignore
      (T.spawn scope (fun () ->
           until (fun () -> List.length !outcomes = 2);
           open_ gate));
    [ running; queued; waits ]
  in
  List.iter T.await outside;
  let closed = "pool: its scope has ended" in
  strings "outcomes" [ "ended"; closed; closed ] (List.sort compare !outcomes);
  string "afterwards" "Soil_pool.submit: the pool's scope has ended"
    (outcome (fun () -> P.submit (Option.get !pool) ignore))

let many scope =
  let pool = P.create ~workers:3 ~capacity:5 scope in
  let each i =
    T.spawn scope @@ fun () ->
    let sum = ref 0 in
    for n = 1 to 500 do
      sum := !sum + P.submit ~priority:(n mod 3) pool (fun () -> (n * n) + i)
    done;
    !sum
  in
  let tasks = List.init 16 each in
  let expected = 500 * 501 * 1001 / 6 in
  List.iteri (fun i task -> int "sum" (expected + (500 * i)) (T.await task)) tasks

let wrong scope =
  let refused f = match f () with _ -> false | exception Invalid_argument _ -> true in
  bool "workers" true (refused (fun () -> P.create ~workers:0 scope));
  bool "capacity" true (refused (fun () -> P.create ~capacity:(-1) scope));
  let pool = P.create ~workers:10_000 scope in
  bool "bounded" true (P.workers pool <= Domain.recommended_domain_count ());
  bool "of another thread" true (refused (fun () -> P.submit pool (fun () -> P.submit pool ignore)))

(* A pool of each domain, on the processors that the domains leave. *)
let domains () =
  let left = Domain.recommended_domain_count () - 2 in
  let submit _ =
    T.scope @@ fun scope ->
    let pool = P.create scope in
    int "workers" (max 1 left) (P.workers pool);
    let jobs = List.init 20 (fun n () -> P.submit pool (fun () -> n * n)) in
    bool "results" true (T.all jobs = List.init 20 (fun n -> n * n))
  in
  let elsewhere () =
    T.scope @@ fun scope ->
    let pool = P.create ~workers:1 scope in
    let refused () =
      match P.submit pool ignore with () -> false | exception Invalid_argument _ -> true
    in
    bool "refused elsewhere" true (T.await (Soil.Domain.spawn ~domain:1 scope refused))
  in
  Soil.Domain.run ~domains:2 @@ fun () ->
  T.timeout patience @@ fun () ->
  Soil.Domain.each submit;
  elsewhere ()

(* Against a model: one worker, whose jobs end one by one. *)

type step = Submit of int | Cancel of int | Finish

let step =
  QCheck2.Gen.(
    frequency
      [
        (5, map (fun p -> Submit p) (int_range (-2) 2));
        (2, map (fun i -> Cancel i) (int_bound 30));
        (3, pure Finish);
      ])

type model = {
  mutable running : int option;
  mutable queue : (int * int) list;  (** Priority and number of the job, in order. *)
  mutable outside : (int * int) list;
  mutable started : int list;  (** The last one first. *)
}

let insert (p, n) list = List.sort (fun (p, m) (q, n) -> compare (-p, m) (-q, n)) ((p, n) :: list)

let advance capacity model =
  let rec go () =
    match (model.running, model.queue, model.outside) with
    | None, (_, n) :: rest, _ ->
        model.running <- Some n;
        model.started <- n :: model.started;
        model.queue <- rest;
        go ()
    | _, queue, job :: rest
      when List.length queue < capacity || (capacity = 0 && model.running = None) ->
        model.outside <- rest;
        model.queue <- insert job model.queue;
        go ()
    | _ -> ()
  in
  go ()

let agrees (capacity, steps) =
  in_run @@ fun scope ->
  let pool = P.create ~workers:1 ~capacity scope in
  let started = Atomic.make [] and may_end = Semaphore.Counting.make 0 and ended = ref 0 in
  let model = { running = None; queue = []; outside = []; started = [] } in
  let tasks = ref [] and number = ref 0 in
  let work n () =
    Atomic.set started (n :: Atomic.get started);
    Semaphore.Counting.acquire may_end
  in
  let agreed () =
    advance capacity model;
    until (fun () -> Atomic.get started = model.started && P.queued pool = List.length model.queue)
  in
  (* The worker takes its next job before the submission that waits is let in, or after that. *)
  let begin_next () =
    match (model.queue, model.outside) with
    | first :: _, (p, n) :: rest when List.hd (insert (p, n) model.queue) <> first ->
        until (fun () -> List.compare_lengths (Atomic.get started) model.started > 0);
        if List.hd (Atomic.get started) = n then (
          model.running <- Some n;
          model.started <- n :: model.started;
          model.outside <- rest)
    | _ -> ()
  in
  let finish () =
    if model.running <> None then (
      let before = !ended in
      Semaphore.Counting.release may_end;
      until (fun () -> !ended > before);
      model.running <- None;
      begin_next ())
  in
  let apply = function
    | Submit priority ->
        let n = !number in
        incr number;
        let submit () =
          (* A cancelled one is no failure of the scope. *)
          Fun.protect ~finally:(fun () -> incr ended) (fun () -> P.submit ~priority pool (work n))
        in
        tasks := (n, T.spawn scope submit) :: !tasks;
        T.yield ();
        model.outside <- insert (priority, n) model.outside
    | Cancel n -> (
        let others = List.filter (fun (_, m) -> m <> n) in
        match List.assoc_opt n !tasks with
        | Some task when model.running <> Some n && T.result task = None ->
            T.cancel task;
            until (fun () -> T.result task <> None);
            model.queue <- others model.queue;
            model.outside <- others model.outside
        | Some _ | None -> ())
    | Finish -> finish ()
  in
  let apply step =
    apply step;
    agreed ()
  in
  let all () =
    List.iter apply steps;
    while model.running <> None do
      apply Finish
    done
  in
  let release_all () = List.iter (fun _ -> Semaphore.Counting.release may_end) steps in
  Fun.protect ~finally:release_all all;
  model.queue = [] && model.outside = []

let property =
  let generator = QCheck2.Gen.(pair (int_bound 3) (list_size (int_bound 40) step)) in
  let cell = QCheck2.Test.make ~count:40 ~name:"agrees with a model" generator agrees in
  Alcotest.test_case "agrees with a model" `Quick (fun () -> QCheck2.Test.check_exn cell)

let () =
  Alcotest.run "pool"
    [
      ( "pool",
        [
          test "results" results;
          test "exceptions" exceptions;
          test "exhausted memory is collected" exhausted;
          test "priorities" priorities;
          test "back-pressure" back_pressure;
          test "cancelled before it begins" cancelled_before;
          test "cancelled together" cancelled_together;
          test "cancelled while it runs" cancelled_while_running;
          test "the scope ends" scope_ends;
          test "the scope fails" scope_fails;
          test "many jobs" many;
          test "wrong arguments" wrong;
          Alcotest.test_case "of several domains" `Quick domains;
          property;
        ] );
    ]
