(* Threads that wait by Soil, several at once, while the first one runs tasks. *)

open Soil

let say format = Printf.printf (format ^^ "\n%!")
let rounds = 50

let ping_pong i ~out ~back =
  for round = 1 to rounds do
    let sent = Printf.sprintf "%d of %d;" round i in
    File_descriptor.write_string out sent;
    let b = Bytes.create (String.length sent) in
    File_descriptor.really_read back b 0 (Bytes.length b);
    assert (Bytes.to_string b = sent)
  done

let echo input output = ignore (File_descriptor.copy ~buffer:100 ~src:input ~dst:output ())

(* [f i] in eight threads, whose end the inbox tells. *)
let in_threads f =
  Task.scope @@ fun scope ->
  let inbox = Inbox.create scope in
  let ended = Task.Semaphore.create 0 in
  let work i =
    f i;
    Inbox.post inbox (fun () -> Task.Semaphore.release ended)
  in
  let threads = List.init 8 (Thread.create work) in
  List.iter (fun _ -> Task.Semaphore.acquire ended) threads;
  List.iter Thread.join threads

(* A signal a millisecond after each handler, while two threads transfer by Soil and two by Unix:
   system calls wait for calls of Soil that were interrupted. A timer with an interval would leave
   the threads no time where a handler takes as long. *)
let with_signals () =
  let seen = Atomic.make 0 in
  let after it_value = ignore (Unix.setitimer ITIMER_REAL { it_interval = 0.; it_value }) in
  let handler _ =
    Atomic.incr seen;
    after 0.001
  in
  Sys.set_signal Sys.sigalrm (Signal_handle handler);
  let rec retry f = try f () with Unix.Unix_error (EINTR, _, _) -> retry f in
  let input, output = Unix.pipe () and pair = Soil.pipe ~capacity:4 () in
  let b = Bytes.create 1 in
  let turns f =
    for _ = 1 to 1_000 do
      f ()
    done
  in
  after 0.001;
  in_threads (function
    | 0 -> turns (fun () -> File_descriptor.write_string (snd pair) "x")
    | 1 -> turns (fun () -> File_descriptor.really_read (fst pair) (Bytes.create 1) 0 1)
    | 2 -> turns (fun () -> retry (fun () -> ignore (Unix.write_substring output "x" 0 1)))
    | 3 -> turns (fun () -> retry (fun () -> ignore (Unix.read input b 0 1)))
    | _ -> ());
  while Atomic.get seen < 10 do
    Clock.sleep 0.001
  done;
  Sys.set_signal Sys.sigalrm Signal_ignore;
  after 0.

let () =
  Soil.run @@ fun () ->
  let pairs = Array.init 4 (fun _ -> (Soil.pipe ~capacity:4 (), Soil.pipe ~capacity:4 ())) in
  in_threads (fun i ->
      let (r, w), (r', w') = pairs.(i / 2) in
      if i land 1 = 0 then (
        ping_pong i ~out:w ~back:r';
        File_descriptor.close w)
      else echo r w');
  say "8 threads used pipes";
  let listener = Tcp.listen ~address:Net.loopback ~port:0 () in
  in_threads (fun i ->
      if i land 1 = 0 then
        Tcp.with_connection ~timeout:60. (Tcp.local listener) (fun d -> ping_pong i ~out:d ~back:d)
      else File_descriptor.with_close (Tcp.accept listener) (fun d -> echo d d));
  say "8 threads used connections";
  in_threads (fun i ->
      assert (Task.timeout_opt 0.01 (fun () -> Tcp.accept listener) = None);
      Clock.sleep (0.001 *. float_of_int i));
  say "8 threads gave up, and slept";
  with_signals ();
  say "4 threads transferred, and signals came"
