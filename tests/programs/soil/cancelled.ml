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
  (* A machine listens to its power button from its first halt on, and QEMU's q35 forgets what comes
     before. A sleep that is over before it begins is no halt: hence several. *)
  for _ = 1 to 3 do
    Soil.Clock.sleep 0.02
  done;
  print_endline "waiting";
  Soil.Clock.sleep infinity
