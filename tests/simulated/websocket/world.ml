let () =
  let clients = [ ("closing", []); ("reading", [ "reading" ]) ] in
  Simulated_checks.run ~clients:(Simulated_checks.selected clients) ~server:"./server.exe" ()
