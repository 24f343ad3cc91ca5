(* The text of each file of the arguments, the names in each directory that ends in a slash, and
   the addresses of each name after a question mark, by Soil's own functions. *)

let rest text = String.sub text 1 (String.length text - 1)

let shown argument =
  if argument.[0] = '?' then
    Soil.Dns.lookup (rest argument) |> List.map Soil.Net.Address.to_string |> String.concat " "
  else if String.ends_with ~suffix:"/" argument then
    Soil.Fs.list argument |> List.map fst |> List.sort compare |> String.concat " "
  else Printf.sprintf "%S" (Soil.Fs.read_file argument)

let () =
  Soil.run @@ fun () ->
  let show argument =
    let text = try shown argument with Soil.Error e -> Soil.Error.message e.code in
    Printf.printf "%s: %s\n%!" argument text
  in
  List.iter show (List.tl (Array.to_list Sys.argv))
