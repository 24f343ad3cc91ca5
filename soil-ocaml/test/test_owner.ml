(* Tasks are one thread's, and Soil is one domain's: what others call raises, and changes nothing. *)

let string = Alcotest.(check string)
let int = Alcotest.(check int)
let test name f = Alcotest.test_case name `Quick f

module T = Soil.Task
module D = Soil.File_descriptor

let outcome f =
  match f () with
  | _ -> "nothing raised"
  | exception Invalid_argument text ->
      let begins prefix = String.starts_with ~prefix text in
      if begins "Soil: called from another thread than" || begins "Soil: called from another domain"
      then "refused"
      else text
  | exception e -> Printexc.to_string e

(* [f ()] in another thread, or domain, while this one waits, by Soil or without it. *)
let in_thread f =
  let result = ref "" in
  let thread =
    Thread.create
      (fun () ->
        Thread.delay 0.002;
        result := outcome f)
      ()
  in
  Soil.Clock.sleep 0.004;
  Thread.join thread;
  !result

let in_domain f =
  let domain = Domain.spawn (fun () -> outcome f) in
  Soil.Clock.sleep 0.001;
  Domain.join domain

let calls () =
  let r, w = Soil.pipe () in
  let promise = T.Promise.create () and stream = T.Stream.create 2 in
  let mutex = T.Mutex.create () and semaphore = T.Semaphore.create 1 in
  let condition = T.Condition.create () in
  T.Stream.push stream 0;
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  let udp = Soil.Udp.bind ~address:Soil.Net.loopback ~port:0 () in
  T.scope @@ fun s ->
  let task = T.spawn s (fun () -> T.Promise.await promise) in
  T.yield ();
  let of_tasks =
    [
      ("run", fun () -> Soil.run ignore);
      ("exit", fun () -> Soil.exit 9);
      ("yield", T.yield);
      ("check", T.check);
      ("scope", fun () -> T.scope ignore);
      ("spawn", fun () -> ignore (T.spawn s ignore));
      ("spawn_result", fun () -> ignore (T.spawn_result s ignore));
      ("spawn_daemon", fun () -> ignore (T.spawn_daemon s ignore));
      ("on_release", fun () -> T.on_release s ignore);
      ("await", fun () -> T.await task);
      ("cancel", fun () -> T.cancel task);
      ("cancel_scope", fun () -> T.cancel_scope s);
      ("both", fun () -> ignore (T.both ignore ignore));
      ("Promise.await", fun () -> T.Promise.await promise);
      ("Promise.fulfil", fun () -> T.Promise.fulfil promise ());
      ("Promise.try_fulfil", fun () -> ignore (T.Promise.try_fulfil promise ()));
      ("Promise.break", fun () -> T.Promise.break promise Exit);
      ("Mutex.lock", fun () -> T.Mutex.lock mutex);
      ("Mutex.try_lock", fun () -> ignore (T.Mutex.try_lock mutex));
      ("Mutex.unlock", fun () -> T.Mutex.unlock mutex);
      ("Condition.wait", fun () -> T.Condition.wait_no_mutex condition);
      ("Condition.signal", fun () -> T.Condition.signal condition);
      ("Condition.broadcast", fun () -> T.Condition.broadcast condition);
      ("Semaphore.acquire", fun () -> T.Semaphore.acquire semaphore);
      ("Semaphore.try_acquire", fun () -> ignore (T.Semaphore.try_acquire semaphore));
      ("Semaphore.release", fun () -> T.Semaphore.release semaphore);
      ("Stream.push", fun () -> T.Stream.push stream 1);
      ("Stream.try_push", fun () -> ignore (T.Stream.try_push stream 1));
      ("Stream.take", fun () -> ignore (T.Stream.take stream));
      ("Stream.poll", fun () -> ignore (T.Stream.poll stream));
      ("Stream.close", fun () -> T.Stream.close stream);
      ("serve", fun () -> Soil.Tcp.serve listener ignore);
    ]
  in
  (* Of these, threads that have the library [soil.threads]. *)
  let waits =
    [
      ("sleep", fun () -> Soil.Clock.sleep 0.);
      ("protect", fun () -> T.protect ignore);
      ("timeout", fun () -> T.timeout 1. ignore);
      ("read", fun () -> ignore (D.read r (Bytes.create 1) 0 1));
      ("write", fun () -> D.write_string w "x");
      ("accept", fun () -> ignore (Soil.Tcp.accept listener));
      ("Udp.receive", fun () -> ignore (Soil.Udp.receive udp (Bytes.create 1) 0 1));
      ("open_", fun () -> ignore (Soil.Fs.open_ "/nothing"));
    ]
  in
  let of_the_domain =
    [
      ("shutdown", fun () -> D.shutdown w `Send);
      ("close", fun () -> D.close w);
      ("pipe", fun () -> ignore (Soil.pipe ()));
      ("listen", fun () -> ignore (Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 ()));
      ("Udp.send", fun () -> Soil.Udp.send_string udp (Soil.Udp.local udp) "x");
      ("Net.interfaces", fun () -> ignore (Soil.Net.interfaces ()));
      ("Random", fun () -> ignore (Soil.Random.int 5));
    ]
  in
  let descriptors = Soil.Machine.counter "descriptors" in
  List.iter
    (fun (name, f) -> string (name ^ " in a thread") "refused" (in_thread f))
    (of_tasks @ waits);
  List.iter
    (fun (name, f) -> string (name ^ " in a domain") "refused" (in_domain f))
    (of_tasks @ waits @ of_the_domain);
  string "descriptors" "same"
    (if descriptors = Soil.Machine.counter "descriptors" then "same" else "others");
  (* All is as it was. *)
  int "nothing in the stream but what was" 1 (T.Stream.length stream);
  int "units" 1 (T.Semaphore.available semaphore);
  string "the mutex is free" "true" (string_of_bool (T.Mutex.try_lock mutex));
  string "the task waits" "true" (string_of_bool (T.result task = None));
  T.Promise.fulfil promise ();
  T.await task;
  D.write_string w "still";
  D.close w;
  string "the pipe works" "still" (D.read_all r);
  D.close r;
  D.close listener;
  D.close udp

(* A domain that calls without end doesn't disturb the one that Soil belongs to. *)
let no_disturbance () =
  let stop = Atomic.make false and refused = Atomic.make 0 in
  let r, w = Soil.pipe () in
  let domain =
    Domain.spawn (fun () ->
        while not (Atomic.get stop) do
          match D.shutdown w `Send with
          | () -> ()
          | exception Invalid_argument _ -> Atomic.incr refused
        done)
  in
  let b = Bytes.create 10 in
  while Atomic.get refused < 1000 do
    D.write_string w "0123456789";
    D.really_read r b 0 10;
    Soil.Clock.sleep 0.
  done;
  Atomic.set stop true;
  Domain.join domain;
  D.close w;
  string "the end" "" (D.read_all r)

let () =
  Alcotest.run "owner"
    [
      ( "threads",
        [
          test "refused in run" (fun () -> Soil.run calls);
          test "refused" calls;
          test "no disturbance" no_disturbance;
        ] );
    ]
