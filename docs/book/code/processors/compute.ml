let compute () =
  let h = ref 0 in
  for i = 1 to 60_000 do
    h := (!h * 31) + i
  done;
  string_of_int !h

let () =
  let domains = int_of_string Sys.argv.(1) in
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:8080 () in
  Soil.Domain.each ~domains @@ fun _ ->
  Soil_http.Server.serve listener (fun _ -> Soil_http.Server.string (compute ()))
