open QCheck2.Gen
open Check

let promises () =
  let p = T.Promise.create () in
  let values =
    T.scope (fun s ->
        let waiting = List.init 3 (fun _ -> T.spawn s (fun () -> T.Promise.await p)) in
        T.yield ();
        bool "empty" true (T.Promise.peek p = None);
        T.Promise.fulfil p 4;
        List.map T.await waiting)
  in
  ints "all woken" [ 4; 4; 4 ] values;
  is_invalid "twice" (fun () -> T.Promise.fulfil p 5);
  bool "tried twice" false (T.Promise.try_fulfil p 5);
  bool "kept" true (T.Promise.peek p = Some 4);
  let tried = T.Promise.create () in
  T.scope (fun s ->
      let t = T.spawn s (fun () -> T.Promise.await tried) in
      T.yield ();
      bool "tried" true (T.Promise.try_fulfil tried 6);
      int "woken" 6 (T.await t));
  let broken = T.Promise.create () in
  T.Promise.break broken Exit;
  bool "broken" true (match T.Promise.await broken with () -> false | exception Exit -> true)

let mutexes () =
  let m = T.Mutex.create () in
  is_invalid "not held" (fun () -> T.Mutex.unlock m);
  T.Mutex.lock m;
  is_invalid "held" (fun () -> T.Mutex.lock m);
  bool "try" false (T.Mutex.try_lock m);
  T.scope (fun s ->
      let t = T.spawn s (fun () -> is_invalid "another's" (fun () -> T.Mutex.unlock m)) in
      T.await t);
  T.Mutex.unlock m;
  (try T.Mutex.protect m (fun () -> raise Exit) with Exit -> ());
  bool "free after a failure" true (T.Mutex.try_lock m)

(* Each task takes the mutex as often as its number says, and waits inside and outside. *)
let exclusion tasks =
  let m = T.Mutex.create () in
  let inside = ref 0 and wrong = ref false and done_ = ref 0 in
  T.iter
    (fun (times, turns) ->
      for _ = 1 to times do
        T.Mutex.protect m (fun () ->
            incr inside;
            if !inside <> 1 then wrong := true;
            for _ = 1 to turns do
              T.yield ()
            done;
            incr done_;
            decr inside);
        T.yield ()
      done)
    tasks;
  (not !wrong) && !done_ = List.fold_left (fun n (times, _) -> n + times) 0 tasks

let in_order_of_arrival n =
  let m = T.Mutex.create () and order = ref [] in
  T.scope (fun s ->
      T.Mutex.lock m;
      for i = 1 to n do
        ignore (T.spawn s (fun () -> T.Mutex.protect m (fun () -> order := i :: !order)))
      done;
      T.yield ();
      T.Mutex.unlock m);
  List.rev !order = List.init n (fun i -> i + 1)

let units (units, tasks) =
  let s = T.Semaphore.create units in
  let inside = ref 0 and most = ref 0 in
  T.iter
    (fun turns ->
      T.Semaphore.with_unit s (fun () ->
          incr inside;
          most := max !most !inside;
          for _ = 1 to turns do
            T.yield ()
          done;
          decr inside))
    tasks;
  !most <= units && T.Semaphore.available s = units

(* Several who push and several who take: everything arrives once, what one pushes stays in order,
   and no more than the capacity (and what takers have been promised) is in the stream. *)
let through_stream (capacity, pushers, takers, count) =
  let s = T.Stream.create capacity in
  let taken = ref [] and too_long = ref false in
  T.scope (fun scope ->
      let push p =
        for i = 1 to count do
          T.Stream.push s (p, i);
          if T.Stream.length s > capacity + takers then too_long := true;
          if i mod 3 = p mod 3 then T.yield ()
        done
      in
      let rec take () =
        match T.Stream.take_opt s with
        | Some v ->
            taken := v :: !taken;
            take ()
        | None -> ()
      in
      let pushing = List.init pushers (fun p -> T.spawn scope (fun () -> push p)) in
      for _ = 1 to takers do
        ignore (T.spawn scope take)
      done;
      List.iter T.await pushing;
      T.Stream.close s);
  let in_order p =
    let mine = List.filter_map (fun (q, i) -> if p = q then Some i else None) (List.rev !taken) in
    let sorted = List.init count (fun i -> i + 1) in
    if takers = 1 then mine = sorted else List.sort compare mine = sorted
  in
  (not !too_long) && List.for_all in_order (List.init pushers Fun.id)

let tries () =
  let s = T.Stream.create 1 in
  bool "room" true (T.Stream.try_push s 1);
  bool "full" false (T.Stream.try_push s 2);
  int "the first" 1 (T.Stream.take s);
  let none = T.Stream.create 0 in
  bool "no taker" false (T.Stream.try_push none 3);
  T.scope (fun scope ->
      let t = T.spawn scope (fun () -> T.Stream.take none) in
      T.yield ();
      bool "a waiting taker" true (T.Stream.try_push none 4);
      bool "and only one" false (T.Stream.try_push none 5);
      int "taken" 4 (T.await t));
  T.scope (fun scope ->
      let t = T.spawn scope (fun () -> T.Stream.take none) in
      T.yield ();
      T.cancel t;
      bool "a taker that was cancelled" false (T.Stream.try_push none 7));
  T.Stream.close s;
  fails_with "closed" Closed (fun () -> T.Stream.try_push s 6)

let stream_ends () =
  let s = T.Stream.create 2 in
  T.Stream.push s 1;
  bool "poll" true (T.Stream.poll s = Some 1);
  bool "poll empty" true (T.Stream.poll s = None);
  T.Stream.push s 2;
  T.Stream.close s;
  T.Stream.close s;
  fails_with "closed" Closed (fun () -> T.Stream.push s 3);
  int "what is left" 2 (T.Stream.take s);
  bool "end" true (match T.Stream.take s with _ -> false | exception End_of_file -> true);
  is_invalid "capacity" (fun () -> T.Stream.create (-1))

let conditions () =
  let c = T.Condition.create () and m = T.Mutex.create () and woken = ref 0 in
  T.scope (fun s ->
      for _ = 1 to 3 do
        ignore
          (T.spawn s (fun () ->
               T.Mutex.protect m (fun () ->
                   T.Condition.wait c m;
                   incr woken)))
      done;
      T.yield ();
      T.Condition.signal c;
      T.yield ();
      T.yield ();
      int "signal" 1 !woken;
      T.Condition.broadcast c);
  int "broadcast" 3 !woken

(* Who gives up while it waits leaves nothing behind: no unit, no promise of room or of a value. *)
let waiters_that_leave () =
  let gives_up what f =
    for _ = 1 to 3 do
      bool what true (T.timeout_opt 0.001 f = None)
    done
  in
  let units = T.Semaphore.create 0 in
  gives_up "a unit" (fun () -> T.Semaphore.acquire units);
  T.Semaphore.release units;
  int "units" 1 (T.Semaphore.available units);
  let m = T.Mutex.create () in
  T.Mutex.lock m;
  T.scope (fun s ->
      let wait () = gives_up "a mutex" (fun () -> T.Mutex.lock m) in
      T.await (T.spawn s wait));
  T.Mutex.unlock m;
  bool "free" true (T.Mutex.try_lock m);
  let c = T.Condition.create () and woken = ref false in
  gives_up "a condition" (fun () -> T.Condition.wait c m);
  bool "held again" false (T.Mutex.try_lock m);
  T.Mutex.unlock m;
  T.scope (fun s ->
      let wait () =
        T.Condition.wait_no_mutex c;
        woken := true
      in
      ignore (T.spawn s wait);
      T.yield ();
      T.Condition.signal c);
  bool "a waiter that is there" true !woken;
  List.iter
    (fun capacity ->
      let s = T.Stream.create capacity in
      gives_up "a value" (fun () -> T.Stream.take s);
      let room () = List.length (List.filter (T.Stream.try_push s) (List.init 5 Fun.id)) in
      int "room" capacity (room ());
      gives_up "to push" (fun () -> T.Stream.push s 9);
      let left = List.init capacity (fun _ -> T.Stream.poll s) in
      bool "in order" true (left = List.init capacity Option.some);
      bool "and no other" true (T.Stream.poll s = None);
      (* A taker that is cancelled once it was woken has the value, or leaves it. *)
      let taken = ref 0 in
      T.scope (fun scope ->
          let take () = if T.Stream.take s = 7 then incr taken in
          let taker = T.spawn scope take in
          T.yield ();
          bool "to the taker" true (T.Stream.try_push s 7);
          T.cancel taker;
          ignore (T.result taker));
      int "once" 1 (!taken + T.Stream.length s))
    [ 0; 1; 3 ]

(* The timers' heap against a sorted list, with removals. *)
let heap operations =
  let heap = Timers.create () in
  let live = ref [] and number = ref 0 in
  List.for_all
    (fun (kind, n) ->
      match kind with
      | 0 | 1 ->
          incr number;
          let timer = Timers.timer ~at:n !number in
          Timers.add heap timer;
          live := ((n, !number), timer) :: !live;
          true
      | 2 -> (
          match List.nth_opt !live (n mod max 1 (List.length !live)) with
          | None -> Timers.is_empty heap
          | Some (key, timer) ->
              Timers.remove heap timer;
              Timers.remove heap timer;
              live := List.filter (fun (k, _) -> k <> key) !live;
              true)
      | _ -> (
          match List.sort compare (List.map fst !live) with
          | [] -> Timers.take_due heap ~now:max_int = None
          | ((at, number) as key) :: _ ->
              live := List.filter (fun (k, _) -> k <> key) !live;
              Timers.earliest heap = at
              && Timers.take_due heap ~now:(at - 1) = None
              && Timers.take_due heap ~now:at = Some number))
    operations

let queue operations =
  let ring = Waiters.create () in
  let model = ref [] and number = ref 0 in
  List.for_all
    (fun (kind, n) ->
      match kind with
      | 0 | 1 ->
          incr number;
          model := !model @ [ (!number, Waiters.add ring !number) ];
          true
      | 2 -> (
          match List.nth_opt !model (n mod max 1 (List.length !model)) with
          | None -> Waiters.is_empty ring
          | Some (number, entry) ->
              Waiters.remove entry;
              Waiters.remove entry;
              model := List.filter (fun (k, _) -> k <> number) !model;
              true)
      | _ -> (
          match !model with
          | [] -> Waiters.take ring = None
          | (number, _) :: rest ->
              model := rest;
              Waiters.take ring = Some number))
    operations

(* Long runs of pushes make it grow. *)
let ring runs =
  let ring = Ring.create 0 and model = Queue.create () and number = ref 0 in
  List.for_all
    (fun (pushes, pops) ->
      for _ = 1 to pushes do
        incr number;
        Ring.push ring !number;
        Queue.add !number model
      done;
      let pops = min pops (Queue.length model) in
      let same = List.for_all (fun _ -> Ring.pop ring = Queue.take model) (List.init pops Fun.id) in
      same && Ring.length ring = Queue.length model)
    runs

let operations = list_size (int_bound 200) (pair (int_bound 3) (int_bound 50))

let tests =
  [
    in_run "promises" promises;
    in_run "mutexes" mutexes;
    in_run "conditions" conditions;
    in_run "trying to push" tries;
    in_run "the end of a stream" stream_ends;
    in_run "waiters that leave" waiters_that_leave;
    property_in_run "a mutex excludes"
      (list_size (int_bound 8) (pair (int_bound 4) (int_bound 3)))
      exclusion;
    property_in_run "a mutex is first come, first served" (int_bound 30) in_order_of_arrival;
    property_in_run "a semaphore limits"
      (pair (int_range 1 5) (list_size (int_bound 30) (int_bound 4)))
      units;
    property_in_run "a stream loses and doubles nothing"
      (quad (int_bound 4) (int_range 1 4) (int_range 1 4) (int_bound 12))
      through_stream;
    property "timers" ~count:1000 operations heap;
    property "queues" ~count:1000 operations queue;
    property "the ready queue"
      (list_size (int_bound 20) (pair (int_bound 200) (int_bound 200)))
      ring;
  ]
