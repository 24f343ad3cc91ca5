(* Clients whose pools differ in how members are validated. *)

let () =
  let clients = [ ("plain", []); ("validating", [ "validate" ]); ("raising", [ "raise" ]) ] in
  Simulated_checks.run ~clients:(Simulated_checks.selected clients) ~server:"./server.exe" ()
