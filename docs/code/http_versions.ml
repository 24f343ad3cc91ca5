module Server = Soil_http.Server
module Client = Soil_http.Client
module Http2 = Soil_http.Http2

(* Both versions: clients choose by ALPN. *)
let serve certificates handler =
  let config = Soil_tls.server_config ~protocols:[ "h2"; "http/1.1" ] certificates in
  Server.serve ~http2:(Http2.server ()) ~secure:(Soil_tls.server config)
    (Soil.Tcp.listen ~port:443 ()) handler

let client () =
  let config = Soil_tls.client_config ~protocols:[ "h2"; "http/1.1" ] [ Soil_tls.Mozilla.roots ] in
  Client.create ~tls:(Soil_tls.client config)
    ~http2:(Http2.client ~protocol:Soil_tls.protocol ())
    ()

(* Without TLS, to a server that is known to have HTTP/2. *)
let inside () = Client.create ~http2:(Http2.client ()) ()

(* What is known at the end of a body only. *)
let export rows request =
  Server.early_hints request (Cohttp.Header.init_with "link" "</style.css>; rel=preload");
  let count = ref 0 in
  let trailers () = Cohttp.Header.init_with "rows" (string_of_int !count) in
  Server.stream ~trailers (fun sink ->
      Seq.iter
        (fun row ->
          incr count;
          Soil.File_descriptor.write_string sink (row ^ "\n"))
        rows)
