(* page.ml in two domains, of which the second one also computes or is idle. Arguments: PORT
   computes|idle. *)

let rec compute h = compute (Sys.opaque_identity ((h * 31) + 1))

let () =
  let computes = Sys.argv.(2) = "computes" in
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:(int_of_string Sys.argv.(1)) () in
  let body = String.make 54 'x' in
  Soil.Domain.each ~domains:2 @@ fun number ->
  if number = 1 then print_endline "ready";
  if computes && number = 1 then compute 0
  else Soil_http.Server.serve listener (fun _ -> Soil_http.Server.string body)
