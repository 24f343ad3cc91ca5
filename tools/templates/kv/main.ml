(* A key-value store on a disk, for clients of TCP port 7000. *)

(* What `soil run` checks before the program starts. *)
let data = Soil.Needs.volume "data" ~file_systems:[ `Ext4 ] ~doc:"the values"
let port = Soil.Needs.port "store" 7000

let () =
  Soil.run @@ fun () ->
  match Soil.Kv.connect data with
  | Error e -> failwith (Soil.Kv.error_to_string e)
  | Ok store ->
      let listener = Soil.Tcp.listen ~port () in
      print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
      Soil.Tcp.serve listener (Protocol.serve store)
