(* soil-http, in both versions, with a response of 130 bytes in HTTP/1.1, head and body. Argument:
   PORT. *)

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:(int_of_string Sys.argv.(1)) () in
  print_endline "ready";
  let body = String.make 54 'x' in
  Soil_http.Server.serve listener ~http2:(Soil_http.Http2.server ()) (fun _ ->
      Soil_http.Server.string body)
