(* page.ml with HTTP/1.1 only, in several domains, whose handler also computes. Arguments: PORT DOMAINS
   ROUNDS. *)

let compute rounds =
  let h = ref 0 in
  for i = 1 to rounds do
    h := (!h * 31) + i
  done;
  !h

let () =
  let argument i = int_of_string Sys.argv.(i) in
  let domains = argument 2 and rounds = argument 3 and body = String.make 54 'x' in
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:(argument 1) () in
  Soil.Domain.each ~domains @@ fun number ->
  (* The others have begun before. *)
  if number = domains - 1 then print_endline "ready";
  Soil_http.Server.serve listener @@ fun _ ->
  ignore (Sys.opaque_identity (compute rounds));
  Soil_http.Server.string body
