(* Linked before a program that knows nothing of it: starts the network. *)
let () = Soil.run Soil.Net.wait_up
