let () =
  let clients = [ ("plain", []); ("draining", [ "drain" ]) ] in
  Simulated_checks.run ~clients:(Simulated_checks.selected clients) ~server:"./server.exe" ()
