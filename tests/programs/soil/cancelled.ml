(* Waits for ever after saying so; asked to stop, it cleans up and leaves with status 143. *)
let () =
  at_exit (fun () -> print_endline "at_exit runs");
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let _ =
    Soil.Task.spawn scope (fun () ->
        Fun.protect
          ~finally:(fun () -> print_endline "task cleaned up")
          (fun () -> Soil.Clock.sleep infinity))
  in
  Soil.Task.yield ();
  print_endline "waiting";
  Soil.Clock.sleep infinity
