(* Every waiting call can be cancelled, and leaves the object that it waited for unchanged. *)
open Check
module D = Soil.File_descriptor

let full_pipe () =
  let r, w = Soil.pipe ~capacity:4 () in
  D.write_string w "1234";
  (r, w)

(* Name, and a function that makes what is waited for: a call that waits for ever, and a check that
   all is well after that. *)
let points : (string * (unit -> (unit -> unit) * (unit -> unit))) list =
  [
    ("Clock.sleep", fun () -> ((fun () -> Soil.Clock.sleep 1000.), ignore));
    ("Clock.sleep infinity", fun () -> ((fun () -> Soil.Clock.sleep infinity), ignore));
    ( "Promise.await",
      fun () ->
        let p = T.Promise.create () in
        ( (fun () -> T.Promise.await p),
          fun () ->
            T.Promise.fulfil p ();
            T.Promise.await p ) );
    ( "Mutex.lock",
      fun () ->
        let m = T.Mutex.create () in
        T.Mutex.lock m;
        ( (fun () -> T.Mutex.lock m),
          fun () ->
            T.Mutex.unlock m;
            bool "free" true (T.Mutex.try_lock m) ) );
    ( "Condition.wait",
      fun () ->
        let m = T.Mutex.create () and c = T.Condition.create () in
        ( (fun () -> T.Mutex.protect m (fun () -> T.Condition.wait c m)),
          fun () ->
            T.Condition.signal c;
            bool "free" true (T.Mutex.try_lock m) ) );
    ( "Condition.wait_no_mutex",
      fun () ->
        let c = T.Condition.create () in
        ((fun () -> T.Condition.wait_no_mutex c), fun () -> T.Condition.broadcast c) );
    ( "Semaphore.acquire",
      fun () ->
        let s = T.Semaphore.create 0 in
        ( (fun () -> T.Semaphore.acquire s),
          fun () ->
            T.Semaphore.release s;
            int "units" 1 (T.Semaphore.available s) ) );
    ( "Stream.take",
      fun () ->
        let s = T.Stream.create 0 in
        ( (fun () -> T.Stream.take s),
          fun () ->
            bool "no taker is left" true (T.timeout_opt 0.005 (fun () -> T.Stream.push s ()) = None)
        ) );
    ( "Stream.push",
      fun () ->
        let s = T.Stream.create 1 in
        T.Stream.push s 1;
        ( (fun () -> T.Stream.push s 2),
          fun () ->
            int "length" 1 (T.Stream.length s);
            int "value" 1 (T.Stream.take s) ) );
    ( "Task.await",
      fun () ->
        let p = T.Promise.create () in
        ((fun () -> T.scope (fun s -> T.await (T.spawn s (fun () -> T.Promise.await p)))), ignore)
    );
    ("Task.both", fun () -> ((fun () -> T.iter Soil.Clock.sleep [ 1000.; 1000. ]), ignore));
    ( "Task.timeout",
      fun () -> ((fun () -> T.timeout 500. (fun () -> Soil.Clock.sleep 1000.)), ignore) );
    ( "read",
      fun () ->
        let r, w = Soil.pipe () in
        ( (fun () -> ignore (D.read r (Bytes.create 1) 0 1)),
          fun () ->
            D.write_string w "x";
            D.close w;
            string "input" "x" (D.read_all r) ) );
    ( "write",
      fun () ->
        let r, w = full_pipe () in
        ( (fun () -> D.write_string w "5"),
          fun () ->
            D.close w;
            string "input" "1234" (D.read_all r) ) );
    ( "copy",
      fun () ->
        let r, w = Soil.pipe () in
        let r2, w2 = full_pipe () in
        D.write_string w "more";
        ( (fun () -> ignore (D.copy ~src:r ~dst:w2 ())),
          fun () -> bool "open" true (D.is_open r && D.is_open r2) ) );
    ( "Reader.line",
      fun () ->
        let r, w = Soil.pipe () in
        D.write_string w "no end of line";
        ((fun () -> ignore (Soil.Reader.line (Soil.Reader.create r))), ignore) );
  ]

(* Cancelled while it waits, and cancelled before it calls. *)
let at_point make () =
  let wait, check = make () in
  let outcome = ref "nothing" in
  let note f () =
    match f () with
    | () -> outcome := "returned"
    | exception T.Cancelled ->
        outcome := "cancelled";
        raise T.Cancelled
  in
  T.scope (fun s ->
      let t = T.spawn s (note wait) in
      for _ = 1 to 5 do
        T.yield ()
      done;
      string "before" "nothing" !outcome;
      T.cancel t);
  string "while it waits" "cancelled" !outcome;
  check ();
  let wait, check = make () in
  outcome := "nothing";
  T.scope (fun s ->
      let go = ref false in
      let t =
        T.spawn s (fun () ->
            T.protect (fun () ->
                while not !go do
                  T.yield ()
                done);
            note wait ())
      in
      T.yield ();
      T.cancel t;
      go := true);
  string "before it waits" "cancelled" !outcome;
  check ()

(* A unit, lock or value that was handed to a task isn't lost if the task is cancelled at that very
   moment. *)
let handed_over () =
  let s = T.Semaphore.create 0 in
  T.scope (fun scope ->
      let t =
        T.spawn scope (fun () ->
            T.Semaphore.acquire s;
            T.Semaphore.release s)
      in
      T.yield ();
      T.Semaphore.release s;
      T.cancel t);
  int "semaphore" 1 (T.Semaphore.available s);
  let stream = T.Stream.create 1 and got = ref 0 in
  T.scope (fun scope ->
      let t = T.spawn scope (fun () -> got := T.Stream.take stream) in
      T.yield ();
      T.Stream.push stream 8;
      T.cancel t);
  int "stream" 8 !got

(* A task that gave way doesn't go on when it has been cancelled meanwhile. *)
let yielding () =
  let went_on = ref false in
  T.scope (fun scope ->
      let t =
        T.spawn scope (fun () ->
            T.yield ();
            went_on := true)
      in
      T.yield ();
      T.cancel t);
  bool "went on" false !went_on

(* A scope forgets the tasks that have ended, in whatever order they do. *)
let forgotten () =
  T.scope (fun scope ->
      let three () =
        let doors = Array.init 3 (fun _ -> T.Promise.create ()) in
        let tasks = Array.map (fun p -> T.spawn scope (fun () -> T.Promise.await p)) doors in
        T.yield ();
        List.iter
          (fun i ->
            T.Promise.fulfil doors.(i) ();
            T.await tasks.(i))
          [ 1; 0; 2 ]
      in
      let words () = Obj.reachable_words (Obj.repr scope) in
      three ();
      let before = words () in
      for _ = 1 to 100 do
        three ()
      done;
      bool "growth" true (words () - before < 1000))

(* [exit] refuses such a status, and the program doesn't end. *)
let status_out_of_range () =
  List.iter
    (fun status ->
      is_invalid ("exit " ^ string_of_int status) (fun () -> Soil.exit status);
      T.yield ();
      T.check ())
    [ -1; 256; max_int; min_int ]

let tests =
  List.map (fun (name, make) -> in_run ("cancelled in " ^ name) (at_point make)) points
  @ [
      in_run "what was handed over isn't lost" handed_over;
      in_run "a task that gave way" yielding;
      in_run "ended tasks are forgotten" forgotten;
      in_run "no exit status" status_out_of_range;
    ]
