(* Three servers with three clients: what `make bench` measures. *)

let () = Cluster.run ~servers:3 ~clients:3
