let () =
  let clients = [ ("timed", []); ("patient", [ "patient" ]) ] in
  Simulated_checks.run ~clients:(Simulated_checks.selected clients) ~server:"./server.exe" ()
