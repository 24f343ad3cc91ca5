(* HTTP/1.1 and 2, with and without TLS. *)
let () = Answers.serve ~protocols:[ "h2"; "http/1.1" ] ~http2:(Soil_http.Http2.server ()) ()
