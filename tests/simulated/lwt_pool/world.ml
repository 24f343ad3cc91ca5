(* Clients whose pools differ in how members are validated and disposed of. *)

let () =
  let clients = [ ("plain", []); ("validating", [ "validate" ]); ("raising", [ "raise" ]) ] in
  let clients =
    match Sys.argv with
    | [| _; name |] -> List.filter (fun (n, _) -> String.equal n name) clients
    | _ -> clients
  in
  Simulated_checks.run ~clients ~server:"./server.exe" ()
