(* Seven tasks that sleep, one after the other, take turns, or wait for another. *)

let () =
  Soil.run @@ fun () ->
  let stream = Soil.Task.Stream.create 0 in
  Soil.Task.scope @@ fun scope ->
  let spawn f = ignore (Soil.Task.spawn scope f) in
  for i = 1 to 5 do
    spawn (fun () -> Soil.Clock.sleep (0.01 *. float_of_int i))
  done;
  spawn (fun () ->
      for _ = 1 to 3 do
        Soil.Task.yield ()
      done);
  spawn (fun () -> Soil.Task.Stream.push stream ());
  Soil.Clock.sleep 0.1;
  Soil.Task.Stream.take stream;
  print_endline "done"
