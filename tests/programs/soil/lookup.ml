(* Looks up the names that the arguments give. *)
let () =
  Soil.run @@ fun () ->
  let show name =
    match Soil.Dns.lookup name with
    | addresses ->
        Printf.printf "%s: %s\n%!" name
          (String.concat " " (List.sort compare (List.map Soil.Net.Address.to_string addresses)))
    | exception Soil.Error e -> Printf.printf "%s: %s\n%!" name (Soil.Error.message e.code)
  in
  Array.iteri (fun i name -> if i > 0 then show name) Sys.argv
