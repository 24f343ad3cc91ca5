(* Pools in virtual time: single cases, a model of the queue, and random events with invariants. *)

module T = Soil.Task
module P = Soil_resource_pool
module Clock = Soil.Clock

let int = Alcotest.(check int)
let bool = Alcotest.(check bool)
let strings = Alcotest.(check (list string))
let in_scope f = Soil.Virtual_clock.run (fun () -> T.scope f)
let test name f = Alcotest.test_case name `Quick (fun () -> in_scope f)
let limits = { P.default_limits with max_open = 2; max_idle = 2; age_jitter = 0. }
let backoff = { Soil.Supervisor.first = 1.; most = 4.; jitter = 0. }
let closed pool reason = List.assoc reason (P.statistics pool).closed

(* A pool of numbers, and the numbers that it has closed. *)
let numbers ?(limits = limits) ?is_healthy ?is_usable ?keep scope =
  let opened = ref 0 and dead = ref [] in
  let open_ () =
    incr opened;
    !opened
  in
  let close n = dead := n :: !dead in
  (P.create ~limits ?is_healthy ?is_usable ?keep ~close scope "numbers" open_, opened, dead)

let hold pool seconds = P.use pool (fun _ -> Clock.sleep seconds)
let code f = match f () with _ -> None | exception Soil.Error { code; _ } -> Some code

(* Lets the pool's own tasks run. *)
let let_run = T.yield

let reuse scope =
  let pool, opened, dead = numbers scope in
  int "first" 1 (P.use pool Fun.id);
  int "again" 1 (P.use pool Fun.id);
  P.use pool (fun a -> P.use pool (fun b -> int "two" 3 (a + b)));
  int "opened" 2 !opened;
  int "the last one returned comes first" 1 (P.use pool Fun.id);
  int "idle" 2 (P.statistics pool).idle;
  strings "none closed" [] (List.map string_of_int !dead)

let ends _scope =
  let result = ref None in
  let dead =
    T.scope @@ fun outer ->
    let dead = ref [] in
    let pool =
      T.scope @@ fun scope ->
      let pool, _, closed = numbers ~limits:{ limits with max_open = 1 } scope in
      dead := [ closed ];
      (* Both are tasks of the outer scope. *)
      ignore (T.spawn outer (fun () -> hold pool 10.));
      ignore
        (T.spawn outer (fun () ->
             Clock.sleep 1.;
             result := code (fun () -> hold pool 1.)));
      Clock.sleep 2.;
      pool
    in
    let_run ();
    bool "the waiting task" true (!result = Some Closed);
    bool "over" true (P.has_ended pool);
    bool "later" true (code (fun () -> hold pool 1.) = Some Closed);
    strings "in use" [] (List.map string_of_int !(List.hd !dead));
    Clock.sleep 20.;
    List.hd !dead
  in
  strings "closed after its use" [ "1" ] (List.map string_of_int !dead)

let unknown_states scope =
  let pool, opened, dead = numbers ~keep:(fun e -> e = Exit || e = T.Cancelled) scope in
  (match P.use pool (fun _ -> failwith "of a use") with
  | () -> Alcotest.fail "no exception"
  | exception Failure _ -> ());
  let_run ();
  strings "raised" [ "1" ] (List.map string_of_int !dead);
  (match P.use pool (fun _ -> raise Exit) with () -> () | exception Exit -> ());
  int "kept" 2 (P.use pool Fun.id);
  (match P.use ~keep:(fun _ -> false) pool (fun _ -> raise Exit) with
  | () -> ()
  | exception Exit -> ());
  let task = T.spawn scope (fun () -> hold pool 10.) in
  Clock.sleep 1.;
  T.cancel task;
  Clock.sleep 1.;
  bool "timeout" true (T.timeout_opt 1. (fun () -> hold pool 10.) = None);
  let_run ();
  strings "all" [ "4"; "3"; "2"; "1" ] (List.map string_of_int !dead);
  int "interrupted" 4 (closed pool Interrupted);
  int "opened" 4 !opened

let fifo scope =
  let pool, opened, _ = numbers ~limits:{ limits with max_open = 1 } scope in
  let order = ref [] in
  let go n = T.spawn scope (fun () -> P.use pool (fun _ -> order := n :: !order; Clock.sleep 1.)) [@@ocamlformat "disable"] in
  let tasks = List.init 6 go in
  Clock.sleep 0.5;
  int "waiting" 5 (P.statistics pool).waiting;
  (* Gives up, and one that has just been given the resource is cancelled. *)
  T.cancel (List.nth tasks 3);
  Clock.sleep 0.6;
  T.cancel (List.nth tasks 1);
  Clock.sleep 10.;
  strings "order" [ "0"; "1"; "2"; "4"; "5" ] (List.rev_map string_of_int !order);
  int "opened" 2 !opened;
  int "waited" 5 (P.statistics pool).waited

(* Cancelled between the grant and its own turn, a task passes the resource on. *)
let cancelled_with_a_grant scope =
  let pool, opened, dead = numbers ~limits:{ limits with max_open = 1 } scope in
  let got = ref [] in
  let waiter n = T.spawn scope (fun () -> P.use pool (fun r -> got := (n, r) :: !got)) in
  let tasks =
    P.use pool (fun _ ->
        let tasks = [ waiter 1; waiter 2 ] in
        Clock.sleep 1.;
        tasks)
  in
  T.cancel (List.hd tasks);
  Clock.sleep 1.;
  bool "the next one" true (!got = [ (2, 1) ]);
  int "opened" 1 !opened;
  int "closed" 0 (List.length !dead)

let queue_limits scope =
  let pool, _, _ =
    numbers ~limits:{ limits with max_open = 1; max_waiting = 1; wait_seconds = 2. } scope
  in
  ignore (T.spawn scope (fun () -> hold pool 10.));
  Clock.sleep 1.;
  let first = T.spawn scope (fun () -> code (fun () -> hold pool 1.)) in
  let_run ();
  bool "full" true (code (fun () -> hold pool 1.) = Some Busy);
  let start = Clock.monotonic () in
  bool "timed out" true (T.await first = Some Timed_out);
  bool "after two seconds" true (Clock.monotonic () -. start = 2.);
  bool "at once" true (code (fun () -> P.use ~wait_seconds:0. pool ignore) = Some Timed_out);
  let s = P.statistics pool in
  int "timed out" 2 s.timed_out;
  int "refused" 1 s.refused;
  int "waiting" 0 s.waiting

let lifetimes scope =
  let limits = { limits with age_seconds = 100.; idle_seconds = 30.; max_idle = 1 } in
  let pool, _, dead = numbers ~limits scope in
  P.use pool (fun _ -> P.use pool ignore);
  let_run ();
  int "surplus" 1 (closed pool Surplus);
  Clock.sleep 29.;
  int "kept" 1 (P.statistics pool).idle;
  Clock.sleep 2.;
  int "unused" 1 (closed pool Unused);
  hold pool 101.;
  let_run ();
  int "aged in use" 1 (closed pool Aged);
  P.use pool ignore;
  for _ = 1 to 5 do
    Clock.sleep 25.;
    P.use pool ignore
  done;
  int "aged when idle" 2 (closed pool Aged);
  P.clear pool;
  let_run ();
  int "cleared" 1 (closed pool Cleared);
  P.use pool (fun _ -> P.clear pool);
  let_run ();
  int "cleared in use" 2 (closed pool Cleared);
  int "closed" 6 (List.length !dead)

(* The task computes for so long that the pool's own tasks can't run. *)
let expired_before_the_reaper scope =
  let pool, _, _ = numbers ~limits:{ limits with age_seconds = 100.; idle_seconds = 30. } scope in
  int "new" 1 (P.use pool Fun.id);
  Soil.Virtual_clock.advance 31.;
  int "unused" 2 (P.use pool Fun.id);
  P.use pool (fun n ->
      int "the same" 2 n;
      Soil.Virtual_clock.advance 101.);
  int "aged" 3 (P.use pool Fun.id)

(* Clean-up of a task in a scope that has failed. *)
let use_while_unwinding _scope =
  let used = ref 0 in
  let clean_up pool () = T.protect (fun () -> P.use pool (fun n -> used := n)) in
  (match
     T.scope @@ fun scope ->
     let pool, _, _ = numbers scope in
     ignore
       (T.spawn scope (fun () -> Fun.protect ~finally:(clean_up pool) (fun () -> Clock.sleep 100.)));
     Clock.sleep 1.;
     failwith "of the scope"
   with
  | () -> Alcotest.fail "no exception"
  | exception Failure _ -> ());
  int "used" 1 !used

(* Five attempts that began together are one of the two. *)
let rounds scope =
  let count = ref 0 in
  let open_ () =
    incr count;
    Clock.sleep 0.5;
    failwith "down"
  in
  let limits = { limits with max_open = 5; attempts = 2; backoff } in
  let pool = P.create ~limits ~close:ignore scope "server" open_ in
  let ends_at delay () =
    Clock.sleep delay;
    match P.use pool ignore with () -> "ok" | exception Failure _ -> string_of_int !count
  in
  (* The last one comes during the first round, which doesn't count for it. *)
  let ends = T.map (fun delay -> ends_at delay ()) [ 0.; 0.; 0.; 0.; 0.; 0.25 ] in
  strings "attempts until then" [ "6"; "6"; "6"; "6"; "6"; "7" ] ends

let jitter scope =
  let limits = { limits with max_open = 50; max_idle = 50; age_seconds = 100.; age_jitter = 0.5 } in
  let pool, _, _ = numbers ~limits scope in
  T.iter (fun _ -> hold pool 1.) (List.init 50 Fun.id);
  Clock.sleep 45.;
  int "all young" 50 (P.statistics pool).idle;
  Clock.sleep 30.;
  let middle = closed pool Aged in
  bool "some" true (middle > 5 && middle < 45);
  Clock.sleep 30.;
  int "all" 50 (closed pool Aged)

let health scope =
  let healthy = ref (fun _ -> true) and checks = ref 0 in
  let is_healthy n =
    incr checks;
    !healthy n
  in
  let limits = { limits with check_seconds = 5.; check_within = 3. } in
  let pool, opened, _ = numbers ~limits ~is_healthy ~is_usable:(fun n -> n <> 4) scope in
  P.use pool (fun _ -> P.use pool ignore);
  P.use pool ignore;
  int "not yet" 0 !checks;
  Clock.sleep 6.;
  P.use pool ignore;
  int "checked" 1 !checks;
  Clock.sleep 6.;
  (healthy := fun n -> if n = 1 then failwith "of a check" else false);
  int "both are bad" 3 (P.use pool Fun.id);
  int "unhealthy" 2 (closed pool Unhealthy);
  Clock.sleep 6.;
  (healthy :=
     fun _ ->
       Clock.sleep 100.;
       true);
  let start = Clock.monotonic () in
  int "too slow" 4 (P.use pool Fun.id);
  bool "in time" true (Clock.monotonic () -. start = 3.);
  let_run ();
  int "unusable" 1 (closed pool Unusable);
  int "opened" 4 !opened;
  (* Cancelled in a check. *)
  P.use pool ignore;
  Clock.sleep 6.;
  bool "cancelled" true (T.timeout_opt 1. (fun () -> P.use pool ignore) = None);
  let_run ();
  int "interrupted" 1 (closed pool Interrupted);
  int "none in use" 0 (P.statistics pool).in_use

(* 200 tasks, and a server that is down for a while. *)
let restart ~opens_in ~at_once scope =
  let attempts = ref [] and is_down = ref true in
  let open_ () =
    attempts := Clock.monotonic () :: !attempts;
    if opens_in > 0. then Clock.sleep opens_in;
    if !is_down then failwith "down"
  in
  let limits = { limits with max_open = 10; max_idle = 10; attempts = max_int; backoff } in
  let pool = P.create ~limits ~close:ignore scope "server" open_ in
  let start = Clock.monotonic () in
  let served = ref 0 in
  let serve _ = P.use pool (fun () -> Clock.sleep 0.01; incr served) [@@ocamlformat "disable"] in
  let tasks = List.init 200 (fun n -> T.spawn scope (fun () -> serve n)) in
  Clock.sleep 12.;
  is_down := false;
  List.iter T.await tasks;
  int "served" 200 !served;
  let times = List.rev_map (fun at -> Float.to_int (at -. start +. 0.001)) !attempts in
  let expected = List.init at_once (fun _ -> 0) @ [ 1; 3; 7; 11; 15 ] in
  let first = List.length expected in
  strings "attempts" (List.map string_of_int expected)
    (List.map string_of_int (List.filteri (fun i _ -> i < first) times));
  bool "at most" true (List.length times <= first + 9)

let failures scope =
  let error = ref (Some (Failure "1")) and count = ref 0 in
  let open_ () =
    incr count;
    Clock.sleep 0.5;
    Option.iter raise !error
  in
  let limits = { limits with max_open = 1; attempts = 2; backoff; open_within = 3. } in
  let pool = P.create ~limits ~close:ignore scope "server" open_ in
  let result () =
    match P.use pool ignore with
    | () -> "ok"
    | exception Failure s -> s
    | exception Soil.Error e -> Soil.Error.to_string e
  in
  let both = T.all [ result; result ] in
  strings "the second attempt" [ "1"; "1" ] both;
  int "attempts" 2 !count;
  (match P.use ~wait_seconds:1. pool ignore with
  | () -> Alcotest.fail "no exception"
  | exception Failure _ -> ());
  Clock.sleep 10.;
  int "no attempt without tasks" 2 !count;
  error := None;
  strings "recovered" [ "ok" ] [ result () ];
  P.clear pool;
  let_run ();
  (* An attempt isn't lost with the task that has caused it. *)
  bool "gave up" true (T.timeout_opt 0.1 (fun () -> P.use pool ignore) = None);
  Clock.sleep 1.;
  int "opened nevertheless" 1 (P.statistics pool).idle;
  int "failed" 2 (P.statistics pool).failed

let too_slow scope =
  let limits = { limits with open_within = 3.; close_within = 2. } in
  let slow = ref true in
  let open_ () = if !slow then Clock.sleep 100. in
  let pool = P.create ~limits ~close:(fun () -> Clock.sleep 100.) scope "server" open_ in
  bool "opening" true (code (fun () -> P.use pool ignore) = Some Timed_out);
  slow := false;
  P.use pool (fun () -> P.use pool ignore);
  P.clear pool;
  Clock.sleep 1.;
  (* The server has them still. *)
  int "closing" 2 (P.statistics pool).closing;
  let start = Clock.monotonic () in
  P.use pool ignore;
  bool "after the close" true (Clock.monotonic () -. start = 1.)

(* A scope that fails while resources are opened, used and closed. *)
let failing_scope _scope =
  let opened = ref 0 and dead = ref 0 in
  let open_ () =
    Clock.sleep 1.;
    incr opened
  in
  let close () =
    Clock.sleep 1.;
    incr dead
  in
  (match
     T.scope @@ fun scope ->
     let pool = P.create ~limits:{ limits with max_open = 5 } ~close scope "server" open_ in
     for n = 1 to 10 do
       ignore (T.spawn scope (fun () -> hold pool (float_of_int n /. 4.)))
     done;
     Clock.sleep 2.1;
     failwith "of the scope"
   with
  | () -> Alcotest.fail "no exception"
  | exception Failure _ -> ());
  bool "opened" true (!opened >= 5);
  int "all closed" !opened !dead

let domains () =
  Soil.Domain.run ~domains:2 @@ fun () ->
  T.scope @@ fun scope ->
  let pool, opened, _ = numbers scope in
  let elsewhere () =
    match P.use pool ignore with () -> false | exception Invalid_argument _ -> true
  in
  bool "another domain" true (T.await (Soil.Domain.spawn ~domain:1 scope elsewhere));
  int "none opened" 0 !opened

let metrics scope =
  let registry = Soil_metrics.registry () in
  let pool, _, _ = numbers ~limits:{ limits with max_open = 1 } scope in
  Soil_resource_pool_metrics.register ~registry ~name:"db" pool;
  let text () = Soil_metrics.to_string ~registry Prometheus in
  let has line = List.mem line (String.split_on_char '\n' (text ())) in
  T.scope (fun inner ->
      let other, _, _ = numbers inner in
      Soil_resource_pool_metrics.register ~registry ~name:"cache" other;
      ignore (T.spawn inner (fun () -> hold pool 2.));
      let_run ();
      ignore (T.spawn inner (fun () -> hold pool 1.));
      Clock.sleep 1.;
      List.iter
        (fun line -> bool line true (has line))
        [
          {|resource_pool_resources{pool="db",state="in_use"} 1|};
          {|resource_pool_resources{pool="cache",state="in_use"} 0|};
          {|resource_pool_waiting_tasks{pool="db"} 1|};
          {|resource_pool_opened_total{pool="db"} 1|};
        ]);
  bool "the time" true (has {|resource_pool_queue_seconds_sum{pool="db"} 2|});
  bool "two uses" true (has {|resource_pool_uses_total{pool="db",result="got"} 2|});
  bool "an ended pool" false (has {|resource_pool_waiting_tasks{pool="cache"} 0|})

(* The model of the queue: tasks come at different times and hold a resource for a while. Each gets
   the one that is free first, unless that's too late for it. What happens to the resource at the
   end of its use changes nothing. *)

type how = Returns | Raises | Is_cancelled
type visit = { at : int; holds : int; patience : int; how : how }

let visits =
  let open QCheck2.Gen in
  let how = frequency [ (4, pure Returns); (1, pure Raises); (1, pure Is_cancelled) ] in
  let visit =
    map
      (fun ((at, holds), (patience, how)) -> { at; holds; patience; how })
      (pair (pair (int_bound 60) (int_range 1 20)) (pair (int_range 1 40) how))
  in
  pair (int_range 1 4) (list_size (int_range 1 40) visit)

(* Times in seconds with a fraction that tells them apart. *)
let times visits =
  List.mapi (fun n v -> (float_of_int v.at +. (float_of_int n /. 1024.), v)) visits
  |> List.sort compare

let expected max_open visits =
  let free = Array.make max_open 0. in
  let start (at, v) =
    Array.sort compare free;
    let start = max at free.(0) in
    if start > at +. float_of_int v.patience then None
    else (
      free.(0) <- start +. float_of_int v.holds;
      Some start)
  in
  List.map start (times visits)

let observed max_open visits =
  in_scope @@ fun scope ->
  let zero = Clock.monotonic () in
  let limits = { limits with max_open; max_idle = max_open } in
  let pool = P.create ~limits ~close:ignore scope "model" ignore in
  let visit (at, v) =
    let start = ref None in
    let work () =
      start := Some (Clock.monotonic () -. zero);
      match v.how with
      | Returns -> Clock.sleep (float_of_int v.holds)
      | Raises ->
          Clock.sleep (float_of_int v.holds);
          raise Exit
      | Is_cancelled -> Clock.sleep 1000.
    in
    Clock.sleep_until (zero +. at);
    let wait_seconds = float_of_int v.patience in
    (match
       P.use ~wait_seconds pool (fun () ->
           if v.how = Is_cancelled then T.timeout (float_of_int v.holds) work else work ())
     with
    | () -> ()
    | exception (Exit | T.Timeout _) -> ()
    | exception Soil.Error { code = Timed_out; _ } -> ());
    !start
  in
  T.map (fun v -> visit v) (times visits)

let same a b =
  match (a, b) with
  | None, None -> true
  | Some a, Some b -> Float.abs (a -. b) < 1e-5
  | None, Some _ | Some _, None -> false

let model =
  QCheck2.Test.make ~name:"the model of the queue" ~count:300 visits (fun (max_open, visits) ->
      List.equal same (expected max_open visits) (observed max_open visits))

(* Random events with invariants. *)

type event = { delay : int; holds : int; gives_up : int option; fails : bool }

type run = {
  most : int;
  most_idle : int;
  seed : int;
  failing : int;  (** Openings in ten. *)
  unhealthy : int;  (** Checks in ten. *)
  age : int;
  unused : int;
  events : event list;
  clears : int list;
  ends : int;  (** When the pool's scope ends. *)
}

let runs =
  let open QCheck2.Gen in
  let event =
    map (fun ((delay, holds), (gives_up, fails)) -> { delay; holds; gives_up; fails })
      (pair (pair (int_bound 100) (int_bound 15)) (pair (option (int_bound 20)) (map (( = ) 0) (int_bound 5))))
  in
  let* most = int_range 1 5 in
  let* most_idle = int_bound 5 in
  let* seed = int_bound 1_000_000 in
  let* failing = int_bound 7 and* unhealthy = int_bound 5 in
  let* age = int_range 5 60 and* unused = int_range 3 40 in
  let* events = list_size (int_range 1 60) event in
  let* clears = list_size (int_bound 2) (int_bound 100) in
  let* ends = int_range 60 140 in
  pure { most; most_idle; seed; failing; unhealthy; age; unused; events; clears; ends }
[@@ocamlformat "disable"]

type thing = {
  born : float;
  mutable users : int;
  mutable is_closed : bool;
  mutable is_bad : bool;
  mutable last : float;
}

let require name condition = if not condition then failwith name

let keeps_invariants run =
  Soil.Virtual_clock.run @@ fun () ->
  let random = Random.State.make [| run.seed |] in
  let one_in_ten n = Random.State.int random 10 < n in
  let zero = Clock.monotonic () in
  let things = ref [] and opening = ref 0 in
  let live () = List.length (List.filter (fun t -> not t.is_closed) !things) + !opening in
  let limits =
    {
      limits with
      max_open = run.most;
      max_idle = run.most_idle;
      wait_seconds = 50.;
      attempts = 3;
      backoff;
      age_seconds = float_of_int run.age;
      idle_seconds = float_of_int run.unused;
      check_seconds = 4.;
      check_within = 2.;
      open_within = 4.;
      close_within = 3.;
    }
  in
  let open_ () =
    incr opening;
    require "too many are open" (live () <= run.most);
    Fun.protect ~finally:(fun () -> decr opening) @@ fun () ->
    Clock.sleep (Random.State.float random 5.);
    if one_in_ten run.failing then raise Not_found;
    let now = Clock.monotonic () in
    let t = { born = now; users = 0; is_closed = false; is_bad = false; last = now } in
    things := t :: !things;
    t
  in
  let close t =
    require "closed twice" (not t.is_closed);
    require "closed in use" (t.users = 0);
    Fun.protect ~finally:(fun () -> t.is_closed <- true) @@ fun () ->
    Clock.sleep (Random.State.float random 5.);
    if one_in_ten 2 then raise Not_found
  in
  let is_healthy t =
    require "a closed one is checked" (not t.is_closed);
    t.is_bad <- true;
    Clock.sleep (Random.State.float random 2.5);
    let healthy = not (one_in_ten run.unhealthy) in
    t.is_bad <- not healthy;
    t.last <- Clock.monotonic ();
    healthy
  in
  let calls = ref 0 and waiting = ref [] in
  let visit pool event =
    Clock.sleep_until (zero +. float_of_int event.delay);
    incr calls;
    let call = !calls in
    waiting := call :: !waiting;
    let leave () = waiting := List.filter (( <> ) call) !waiting in
    let work t =
      leave ();
      let now = Clock.monotonic () in
      require "used while closed" (not t.is_closed);
      require "used after an unknown state" (not t.is_bad);
      require "used by two" (t.users = 0);
      require "not checked" (now -. t.last <= 4.);
      require "too old" (now -. t.born <= limits.age_seconds +. 2.);
      t.users <- 1;
      Fun.protect ~finally:(fun () ->
          t.users <- 0;
          t.last <- Clock.monotonic ())
      @@ fun () ->
      t.is_bad <- true;
      Clock.sleep (float_of_int event.holds);
      if event.fails then raise Exit;
      t.is_bad <- false
    in
    let use () = Fun.protect ~finally:leave (fun () -> P.use pool work) in
    match
      match event.gives_up with
      | None -> use ()
      | Some seconds -> ignore (T.timeout_opt (float_of_int seconds) use)
    with
    | () -> ()
    | exception (Exit | Not_found) -> ()
    | exception Soil.Error { code = Timed_out | Closed; _ } -> ()
  in
  let check pool =
    let s = P.statistics pool in
    let sum = List.fold_left (fun n (_, c) -> n + c) 0 s.closed in
    require "size" (s.in_use + s.idle + s.opening + s.closing <= run.most);
    require "idle" (s.idle <= run.most_idle);
    require "idle while tasks wait" (s.idle = 0 || s.waiting = 0);
    require "counts" (s.opened - sum = s.in_use + s.idle);
    require "a free place while tasks wait"
      (s.waiting = 0 || s.opening > 0 || s.in_use + s.closing >= run.most)
  in
  T.scope (fun outer ->
      T.scope (fun scope ->
          let pool = P.create ~limits ~is_healthy ~close scope "random" open_ in
          List.iteri
            (fun n event ->
              let home = if n mod 3 = 0 then outer else scope in
              ignore (T.spawn home (fun () -> visit pool event)))
            run.events;
          List.iter
            (fun at ->
              ignore
                (T.spawn scope (fun () ->
                     Clock.sleep_until (zero +. float_of_int at);
                     P.clear pool)))
            run.clears;
          for step = 1 to run.ends do
            Clock.sleep_until (zero +. float_of_int step +. 0.01);
            check pool
          done;
          if run.seed land 1 = 0 then T.cancel_scope scope));
  require "all are closed" (List.for_all (fun t -> t.is_closed) !things);
  require "no attempt is left" (!opening = 0);
  require "no task waits" (!waiting = []);
  true

let invariants =
  QCheck2.Test.make ~name:"random events" ~count:400 runs (fun run -> keeps_invariants run)

let () =
  let property test =
    let (QCheck2.Test.Test cell) = test in
    let run () = QCheck2.Test.check_cell_exn ~rand:(Random.State.make [| 57 |]) cell in
    Alcotest.test_case (QCheck2.Test.get_name cell) `Quick run
  in
  Alcotest.run "resource_pool"
    [
      ( "uses",
        [
          test "reuse" reuse;
          test "ends" ends;
          test "unknown states" unknown_states;
          test "the order" fifo;
          test "cancelled with a grant" cancelled_with_a_grant;
          test "limits of the queue" queue_limits;
          Alcotest.test_case "another domain" `Quick domains;
        ] );
      ( "resources",
        [
          test "lifetimes" lifetimes;
          test "expired before the reaper" expired_before_the_reaper;
          test "jitter" jitter;
          test "health" health;
          test "a restart" (restart ~opens_in:0.01 ~at_once:10);
          test "a restart, refused at once" (restart ~opens_in:0. ~at_once:1);
          test "failures" failures;
          test "rounds of failures" rounds;
          test "slow functions" too_slow;
          test "a failing scope" failing_scope;
          test "use while unwinding" use_while_unwinding;
        ] );
      ("metrics", [ test "metrics" metrics ]);
      ("properties", [ property model; property invariants ]);
    ]
