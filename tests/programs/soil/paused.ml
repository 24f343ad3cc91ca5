(* Writes LINES numbered lines to standard output, from a task or past the scheduler: paused
   task|plain LINES.

   Echo on 7 (TCP), with a line of the log for each connection, as far as the writing leaves tasks
   their turn; a connection to 9 ends the program by SIGABRT. *)
module D = Soil.File_descriptor

(* The function that logs the network's own warnings: the level, and a part of a string. *)
external log :
  (int[@untagged]) -> string -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_log_bytecode" "soil_log"
[@@noalloc]

let line i = Printf.sprintf "line %08d of the output\n" i

let write_in_task lines =
  let console = D.of_console () in
  for i = 0 to lines - 1 do
    D.write_string console (line i)
  done

let write_plainly lines =
  for i = 0 to lines - 1 do
    print_string (line i)
  done;
  flush stdout

let () =
  Soil.run @@ fun () ->
  let echo = Soil.Tcp.listen ~port:7 () and last = Soil.Tcp.listen ~port:9 () in
  D.write_string (D.of_console_error ()) "ready\n";
  let serve () =
    Soil.Tcp.serve echo (fun c ->
        ignore (log 2 "an echo" 0 7);
        ignore (D.copy ~src:c ~dst:c ()))
  in
  let await_the_end () =
    ignore (Soil.Tcp.accept last);
    Unix.kill (Unix.getpid ()) Sys.sigabrt
  in
  let write () =
    let write = if Sys.argv.(1) = "task" then write_in_task else write_plainly in
    write (int_of_string Sys.argv.(2));
    D.write_string (D.of_console_error ()) "written\n"
  in
  Soil.Task.scope (fun scope ->
      List.iter (fun f -> ignore (Soil.Task.spawn scope f)) [ serve; await_the_end; write ])
