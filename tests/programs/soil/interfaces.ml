(* Prints the configuration of the network. *)
let () =
  Soil.run @@ fun () ->
  Soil.Net.wait_up ();
  let address (a, prefix) = Printf.sprintf "%s/%d" (Soil.Net.Address.to_string a) prefix in
  List.iter
    (fun (i : Soil.Net.interface) ->
      let v4 = List.filter (fun (a, _) -> Soil.Net.Address.is_v4 a) i.addresses in
      Printf.printf "address %s\n" (String.concat " " (List.map address v4));
      Printf.printf "gateway %s\n"
        (match i.gateway with Some a -> Soil.Net.Address.to_string a | None -> "none");
      Printf.printf "name servers %s\n"
        (String.concat " " (List.map Soil.Net.Address.to_string i.name_servers));
      Printf.printf "mac %s mtu %d\n" (Soil.Net.Mac.to_string i.mac) i.mtu)
    (Soil.Net.interfaces ())
