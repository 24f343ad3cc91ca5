(* Three servers and one that joins and leaves, with five clients.

   `soil simulate _build/default/examples/replicated/simulation/simulate.exe` *)

let () = Cluster.run ~servers:4 ~clients:5
