(* Ends in the way that its argument says; the rules beside it check status and output. *)

exception Of_the_program

(* A handler of [Tcp.serve] that raises [e], and the report of that. *)
let handler_raises e =
  Soil.Task.scope @@ fun s ->
  let l = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  ignore (Soil.Task.spawn s (fun () -> Soil.Tcp.serve l (fun _ -> raise e)));
  Soil.Tcp.with_connection (Soil.Tcp.local l) (fun c -> ignore (Soil.File_descriptor.read_all c));
  Soil.File_descriptor.close l

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
  | "exit in a domain" ->
      Soil.Domain.run ~domains:3 (fun () ->
          let waiting = Soil.Task.Semaphore.create 0 in
          let wait () =
            Soil.Task.Semaphore.release waiting;
            wait_for_ever ()
          in
          Soil.Domain.each (function
            | 1 ->
                Soil.Task.Semaphore.acquire waiting;
                Soil.Task.Semaphore.acquire waiting;
                Soil.exit 4
            | _ -> unwinding wait))
  | "exit in a child" ->
      Soil.run (fun () ->
          Soil.Supervisor.run (fun s ->
              ignore (Soil.Supervisor.add s "a" ignore ~run:(fun () -> unwinding wait_for_ever));
              ignore (Soil.Supervisor.add s "b" ignore ~run:(fun () -> Soil.exit 8))))
  | "exit in a handler" ->
      Soil.run (fun () ->
          Soil.Task.scope @@ fun s ->
          let l = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
          let handle _ =
            unwinding (fun () -> Soil.Task.both (fun () -> Soil.exit 9) wait_for_ever)
          in
          ignore (Soil.Task.spawn s (fun () -> Soil.Tcp.serve l (fun c -> ignore (handle c))));
          ignore (Soil.Tcp.connect (Soil.Tcp.local l));
          wait_for_ever ())
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
  | "sleep in domains" ->
      Soil.Domain.run ~domains:3 (fun () ->
          let waiting = Soil.Task.Semaphore.create 0 in
          let wait () =
            Soil.Task.Semaphore.release waiting;
            wait_for_ever ()
          in
          Soil.Task.both
            (fun () -> Soil.Domain.each (fun _ -> unwinding wait))
            (fun () ->
              for _ = 1 to 3 do
                Soil.Task.Semaphore.acquire waiting
              done;
              print_endline "waiting")
          |> ignore)
  | "keep on" ->
      Soil.run (fun () ->
          Soil.Task.protect (fun () ->
              print_endline "waiting";
              Soil.Clock.sleep 120.;
              print_endline "kept on"))
  | "report" ->
      Printexc.register_printer (function Of_the_program -> Some "in its own words" | _ -> None);
      Soil.run (fun () ->
          handler_raises Of_the_program;
          handler_raises (Soil.Error { code = Busy; operation = "o"; subject = "s"; detail = "" }))
  | "restart" ->
      (* A child that fails at its first start, and a stop that comes too late. *)
      let starts = ref 0 in
      let start _ =
        incr starts;
        print_endline ("start " ^ string_of_int !starts);
        match !starts with 1 -> raise Of_the_program | 2 -> wait_for_ever () | _ -> ()
      in
      let backoff = { Soil.Supervisor.first = 0.; most = 0.; jitter = 0. } in
      Soil.run (fun () ->
          Soil.Supervisor.run ~backoff (fun s ->
              ignore (Soil.Supervisor.add s "child" ~start_within:0.05 start);
              Soil.Supervisor.stop s))
  | "needs" ->
      Soil.Needs.cpus 4096;
      Soil.run (fun () -> print_endline "started")
  | "deadlock" -> Soil.run (fun () -> Soil.Task.Promise.(await (create ())))
  | _ -> exit 1
