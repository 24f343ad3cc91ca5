(* A register on a disk, for clients of TCP port 7000. *)

(* What `soil run` checks before the program starts. *)
let data = Soil.Needs.volume "data" ~file_systems:[ `Ext4 ] ~doc:"the value"
let port = Soil.Needs.port "register" 7000

let () =
  Soil.run @@ fun () ->
  let register = Register.load data in
  let listener = Soil.Tcp.listen ~port () in
  print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  Soil.Tcp.serve listener (Register.serve register)
