(* Calls of Unix that wait, beside tasks: what goes on meanwhile. `waits_in_unix PORT` reads a line in
   a task once its peer has sent what it had. *)

open Soil

let say = print_endline

(* In a task: other tasks wait, threads and the network don't. *)
let of_task port =
  let listener = Tcp.listen ~port () in
  say "ready";
  let connection = Tcp.accept listener in
  let other () =
    Clock.sleep 0.001;
    say "another task"
  in
  let thread =
    Thread.create
      (fun () ->
        Thread.delay 0.02;
        say "a thread")
      ()
  in
  let read () =
    let got = Unix.read Unix.stdin (Bytes.create 100) 0 100 in
    Printf.printf "read: %d\n%!" got
  in
  Task.both other read |> ignore;
  Thread.join thread;
  let bytes = Bytes.create 65536 and total = ref 0 in
  let rec count () =
    match File_descriptor.read connection bytes 0 65536 with
    | 0 -> Printf.printf "received: %d\n%!" !total
    | n ->
        total := !total + n;
        count ()
  in
  count ();
  File_descriptor.close connection;
  File_descriptor.close listener;
  let wait name f =
    Task.both other (fun () ->
        f ();
        say name)
    |> ignore
  in
  wait "sleepf" (fun () -> Unix.sleepf 0.05);
  wait "select" (fun () -> ignore (Unix.select [] [] [] 0.05))

(* In a thread: tasks go on. *)
let of_thread () =
  let input, output = Unix.pipe () in
  let thread =
    Thread.create
      (fun () ->
        let got = Unix.read input (Bytes.create 10) 0 10 in
        Printf.printf "a thread has read: %d\n%!" got)
      ()
  in
  for _ = 1 to 5 do
    Clock.sleep 0.005
  done;
  say "the tasks go on";
  ignore (Unix.write_substring output "!" 0 1);
  let inbox = Atomic.make false in
  let joined =
    Thread.create
      (fun () ->
        Thread.join thread;
        Atomic.set inbox true)
      ()
  in
  while not (Atomic.get inbox) do
    Clock.sleep 0.001
  done;
  Thread.join joined

let () =
  let port = int_of_string Sys.argv.(1) in
  Soil.run (fun () ->
      of_task port;
      of_thread ())
