(* A key-value store on a disk, for clients of TCP port 7000. *)

let () =
  Soil.run @@ fun () ->
  match Soil.Kv.connect "/data" with
  | Error e -> failwith (Soil.Kv.error_to_string e)
  | Ok store ->
      let listener = Soil.Tcp.listen ~port:7000 () in
      print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
      Soil.Tcp.serve listener (Protocol.serve store)
