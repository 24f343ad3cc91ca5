(* Structured concurrency: results, failures with their backtrace, cancellation, timeouts, and the
   means of communication. *)
module T = Soil.Task

exception Broken of int

let say format = Printf.printf (format ^^ "\n%!")

let[@inline never] break n =
  if n > 0 then raise (Broken n);
  n

let results () =
  T.scope (fun scope ->
      let tasks = List.init 1000 (fun i -> T.spawn scope (fun () -> T.yield (); i)) in
      say "sum of 1000 tasks: %d" (List.fold_left (fun total t -> total + T.await t) 0 tasks));
  say "all: %s" (String.concat " " (T.all ~max:2 [ (fun () -> "a"); (fun () -> T.yield (); "b"); (fun () -> "c") ]));
  say "first: %s" (T.first [ (fun () -> Soil.Clock.sleep 60.; "slow"); (fun () -> T.yield (); "quick") ])
[@@ocamlformat "disable"]

let failure () =
  Printexc.record_backtrace true;
  let cleaned = ref false in
  (match
     T.scope (fun scope ->
         let _sleeper =
           T.spawn scope (fun () ->
               Fun.protect ~finally:(fun () -> cleaned := true) (fun () -> Soil.Clock.sleep 60.))
         in
         let _failing = T.spawn scope (fun () -> ignore (break 7)) in
         Soil.Clock.sleep 60.)
   with
  | () -> say "the scope succeeded"
  | exception Broken n ->
      let trace = Printexc.get_backtrace () in
      let mentions = "Tasks.break" in
      let rec found i =
        i + String.length mentions <= String.length trace
        && (String.sub trace i (String.length mentions) = mentions || found (i + 1))
      in
      say "failed with %d, trace names the function: %b" n (found 0));
  say "sibling cleaned up: %b" !cleaned

let cancellation () =
  T.scope (fun scope ->
      let task =
        T.spawn scope (fun () ->
            try Soil.Clock.sleep 60.
            with T.Cancelled ->
              say "cancelled while asleep";
              raise T.Cancelled)
      in
      T.yield ();
      T.cancel task;
      match T.await task with
      | () -> say "not cancelled"
      | exception T.Cancelled -> say "awaiting it says so");
  T.scope (fun scope ->
      let kept = ref 0 in
      let task =
        T.spawn scope (fun () ->
            T.protect (fun () ->
                Soil.Clock.sleep 0.02;
                incr kept);
            Soil.Clock.sleep 60.;
            incr kept)
      in
      T.yield ();
      T.cancel task;
      (try T.await task with T.Cancelled -> ());
      say "protected part ran: %b" (!kept = 1));
  let before = Soil.Clock.monotonic () in
  (match T.timeout 0.05 (fun () -> Soil.Clock.sleep 60.) with
  | () -> say "no timeout"
  | exception T.Timeout _ -> say "timed out");
  let took = Soil.Clock.monotonic () -. before in
  say "in time: %b" (took >= 0.05 && took < 30.);
  say "no result: %b" (T.timeout_opt 0.01 (fun () -> Soil.Clock.sleep 60.) = None);
  say "result: %b" (T.timeout_opt 60. (fun () -> 3) = Some 3)

let communication () =
  let stream = T.Stream.create 3 in
  let (), taken =
    T.both
      (fun () ->
        for i = 1 to 100 do
          T.Stream.push stream i
        done;
        T.Stream.close stream)
      (fun () ->
        let rec loop total =
          match T.Stream.take_opt stream with Some i -> loop (total + i) | None -> total
        in
        loop 0)
  in
  say "through a stream: %d" taken;
  let mutex = T.Mutex.create () and inside = ref 0 and most = ref 0 in
  T.iter
    (fun () ->
      T.Mutex.protect mutex (fun () ->
          incr inside;
          most := max !most !inside;
          T.yield ();
          decr inside))
    (List.init 50 (fun _ -> ()));
  say "at once in the mutex: %d" !most;
  let semaphore = T.Semaphore.create 4 and inside = ref 0 and most = ref 0 in
  T.iter
    (fun () ->
      T.Semaphore.with_unit semaphore (fun () ->
          incr inside;
          most := max !most !inside;
          Soil.Clock.sleep 0.001;
          decr inside))
    (List.init 50 (fun _ -> ()));
  say "at once in the semaphore: %d" !most;
  let promise = T.Promise.create () in
  let (), value =
    T.both (fun () -> T.Promise.fulfil promise 42) (fun () -> T.Promise.await promise)
  in
  say "promised: %d" value;
  let condition = T.Condition.create () and open_ = ref false in
  let (), () =
    T.both
      (fun () ->
        while not !open_ do
          T.Condition.wait_no_mutex condition
        done)
      (fun () ->
        T.yield ();
        open_ := true;
        T.Condition.broadcast condition)
  in
  say "condition met: %b" !open_

let deadlock () =
  match Soil.run (fun () -> T.Promise.await (T.Promise.create ())) with
  | () -> say "no deadlock"
  | exception Soil.Error { code = Deadlock; _ } -> say "deadlock is noticed"

let () =
  Soil.run (fun () ->
      results ();
      failure ();
      cancellation ();
      communication ());
  deadlock ();
  say "outside of run: %d" (T.scope (fun scope -> T.await (T.spawn scope (fun () -> 5))))
