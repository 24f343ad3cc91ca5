(* OCaml's systhreads: each line of output says what held. *)

let say format = Printf.printf (format ^^ "\n%!")

let counting () =
  let mutex = Mutex.create () and changed = Condition.create () and count = ref 0 in
  let add i =
    for _ = 1 to 1000 do
      Mutex.protect mutex (fun () -> incr count);
      if i land 1 = 0 then Thread.yield ()
    done;
    Mutex.protect mutex (fun () -> Condition.broadcast changed)
  in
  let threads = List.init 8 (Thread.create add) in
  Mutex.protect mutex (fun () ->
      while !count < 8000 do
        Condition.wait changed mutex
      done);
  List.iter Thread.join threads;
  say "counted to %d" !count

(* The first thread goes on computing when it has created the second, and waits for nothing. *)
let created_and_computing () =
  let seen = Atomic.make false in
  let thread = Thread.create (fun () -> Atomic.set seen true) () in
  while not (Atomic.get seen) do
    Thread.yield ()
  done;
  Thread.join thread;
  say "the second thread ran beside the first"

(* The master lock's tick has to come while OCaml computes and allocates nothing. *)
let computing () =
  let stop = Atomic.make false in
  let spin () =
    while not (Atomic.get stop) do
      ()
    done
  in
  let threads = List.init 3 (fun _ -> Thread.create spin ()) in
  Thread.delay 0.1;
  Atomic.set stop true;
  List.iter Thread.join threads;
  say "a thread that sleeps runs on beside threads that compute"

let turns () =
  let turn = ref 0 and wrong = ref 0 in
  let player me =
    for _ = 1 to 200 do
      while !turn mod 3 <> me do
        Thread.yield ()
      done;
      if !turn mod 3 <> me then incr wrong;
      incr turn
    done
  in
  List.iter Thread.join (List.init 3 (Thread.create player));
  say "%d turns by yielding, %d wrong" !turn !wrong

let events () =
  let numbers = Event.new_channel () and never : int Event.channel = Event.new_channel () in
  let send () =
    for i = 1 to 100 do
      Event.sync (Event.send numbers i)
    done
  in
  let sender = Thread.create send () in
  let sum = ref 0 in
  for _ = 1 to 100 do
    sum := !sum + Event.select [ Event.receive never; Event.receive numbers ]
  done;
  Thread.join sender;
  say "received %d in all" !sum

let semaphores () =
  let room = Semaphore.Counting.make 3 and inside = Atomic.make 0 and most = Atomic.make 0 in
  let visit () =
    Semaphore.Counting.acquire room;
    let now = 1 + Atomic.fetch_and_add inside 1 in
    if now > Atomic.get most then Atomic.set most now;
    Thread.delay 0.005;
    Atomic.decr inside;
    Semaphore.Counting.release room
  in
  List.iter Thread.join (List.init 12 (fun _ -> Thread.create visit ()));
  say "a semaphore of 3: %b" (Atomic.get most <= 3 && Atomic.get inside = 0)

let exceptions () =
  let caught = Atomic.make 0 in
  Thread.set_uncaught_exception_handler (fun e -> if e = Not_found then Atomic.incr caught);
  Thread.join (Thread.create (fun () -> raise Not_found) ());
  let rec deep n = if n = 0 then 0 else 1 + deep (n - 1) in
  let overflow () = try ignore (deep max_int) with Stack_overflow -> Atomic.incr caught in
  Thread.join (Thread.create overflow ());
  let exhaust () =
    try ignore (Bytes.create (1 lsl 50)) with Out_of_memory -> Atomic.incr caught
  in
  Thread.join (Thread.create exhaust ());
  say "exceptions in threads: %d" (Atomic.get caught)

let signals () =
  let seen = Atomic.make 0 in
  Sys.set_signal Sys.sigusr1 (Signal_handle (fun _ -> Atomic.incr seen));
  let stop = Atomic.make false in
  let spin () =
    while not (Atomic.get stop) do
      ()
    done
  in
  let computing = Thread.create spin () in
  Unix.kill (Unix.getpid ()) Sys.sigusr1;
  while Atomic.get seen = 0 do
    Thread.delay 0.001
  done;
  Atomic.set stop true;
  Thread.join computing;
  say "a handler ran once: %b" (Atomic.get seen = 1)

let collections () =
  let work seed =
    let table = Hashtbl.create 16 in
    for i = 1 to 20_000 do
      Hashtbl.replace table (i * seed mod 997) (String.make (i mod 50) 'x')
    done;
    if seed land 1 = 0 then Gc.full_major ();
    Hashtbl.fold (fun _ s n -> n + String.length s) table 0
  in
  let results = Array.make 6 0 in
  let threads = List.init 6 (Thread.create (fun i -> results.(i) <- work (i + 3))) in
  List.iter Thread.join threads;
  say "collections under threads: %b"
    (Array.for_all2 ( = ) results (Array.init 6 (fun i -> work (i + 3))))

let many () =
  let mutex = Mutex.create () and woken = Condition.create () and go = ref false in
  let stay () =
    Mutex.protect mutex (fun () ->
        while not !go do
          Condition.wait woken mutex
        done)
  in
  let threads = List.init 300 (fun _ -> Thread.create stay ()) in
  Mutex.protect mutex (fun () ->
      go := true;
      Condition.broadcast woken);
  List.iter Thread.join threads;
  say "300 threads"

let at_exit_in_order () =
  at_exit (fun () -> say "at exit");
  ignore (Thread.create (fun () -> Thread.delay 1000.) ())

let () =
  created_and_computing ();
  counting ();
  computing ();
  turns ();
  events ();
  semaphores ();
  exceptions ();
  signals ();
  collections ();
  many ();
  at_exit_in_order ()
