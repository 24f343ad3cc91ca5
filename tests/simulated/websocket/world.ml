let () = Simulated_checks.run ~server:"./server.exe" ()
