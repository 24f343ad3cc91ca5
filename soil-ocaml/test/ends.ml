(* Ends in the way that its argument says; the rules beside it check status and output. *)

let () =
  at_exit (fun () -> print_endline "at_exit");
  let wait_for_ever () = Soil.Clock.sleep infinity in
  let unwinding f = Fun.protect ~finally:(fun () -> print_endline "unwound") f in
  match Sys.argv.(1) with
  | "exit" ->
      Soil.run (fun () ->
          Soil.Task.scope (fun s ->
              ignore (Soil.Task.spawn s (fun () -> unwinding wait_for_ever));
              Soil.Task.yield ();
              Soil.exit 5))
  | "exit in a task" ->
      Soil.run (fun () ->
          Soil.Task.scope (fun s ->
              ignore (Soil.Task.spawn s (fun () -> Soil.exit 6));
              unwinding wait_for_ever))
  | "stdlib exit in a task" ->
      Soil.run (fun () ->
          Soil.Task.scope (fun s ->
              ignore (Soil.Task.spawn s (fun () -> exit 7));
              unwinding wait_for_ever))
  | "uncaught" -> Soil.run (fun () -> Soil.Error.fail Busy "test" ~subject:"subject")
  | "uncaught outside" -> Soil.Error.fail Busy "test" ~subject:"subject"
  | "sleep" ->
      Soil.run (fun () ->
          unwinding (fun () ->
              print_endline "waiting";
              wait_for_ever ()))
  | "deadlock" -> Soil.run (fun () -> Soil.Task.Promise.(await (create ())))
  | _ -> exit 1
