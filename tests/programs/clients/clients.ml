(* CLIENTS FOLDER TRUSTED: what a server knows of clients behind proxies in the network TRUSTED, on
   ports for each way to know it; FOLDER has the certificate. *)

module P = Soil.Proxy_protocol
module Server = Soil_http.Server
module Forwarded = Soil_http.Forwarded
module Limit = Soil_http.Limit

let log entry = print_endline ("log " ^ Soil_http.Access_log.common entry)
let text = Option.value ~default:"-"

(* A header of the PROXY protocol with its fields, and then all that comes. *)
let header trusted connection =
  let said =
    match P.accept ~timeout:30. ~trusted connection with
    | None -> "not trusted"
    | Some Local -> "local"
    | Some Unknown -> "unknown"
    | Some (Client c) ->
        let tls =
          match P.ssl c with
          | Some { version; verified; _ } -> text version ^ if verified then " verified" else ""
          | None -> "-"
        in
        String.concat " "
          [
            Soil.Net.Address.to_string c.source.address;
            Soil.Net.Endpoint.to_string c.destination;
            text (P.authority c);
            text (P.alpn c);
            tls;
          ]
  in
  print_endline ("header " ^ said);
  let rest = Soil.File_descriptor.read_all connection in
  Soil.File_descriptor.write_string connection (said ^ " " ^ rest)

let peer request = Server.string (Server.peer request ^ "\n")

let origin proxies request =
  match Forwarded.origin proxies request with
  | None -> Server.status `Bad_request
  | Some { address; scheme; host; _ } ->
      let address = Soil.Net.Address.to_string address in
      Server.string (String.concat " " [ address; text scheme; text host ] ^ "\n")

let secure folder =
  let file name = folder ^ "/soil.test." ^ name in
  Soil_tls.server
    (Soil_tls.server_config (Soil_tls.Files.certificates [ (file "pem", file "key") ]))

let () =
  Soil.run @@ fun () ->
  let trusted = [ Soil.Net.Prefix.of_string Sys.argv.(2) ] in
  let secure = secure Sys.argv.(1) in
  let client = P.client ~timeout:30. ~trusted in
  let x_forwarded = Forwarded.by trusted in
  let forwarded = Forwarded.by ~field:Forwarded trusted in
  let limit = Limit.create ~rate:0.001 ~burst:3 () in
  let key request = Option.map Limit.key_of_address (Forwarded.address x_forwarded request) in
  let serve ?client ?secure ?(log = log) handler port =
    let listener = Soil.Tcp.listen ~port () in
    fun () -> Server.serve ~log ?client ?secure listener handler
  in
  let entry proxies entry = log (Forwarded.entry proxies entry) in
  let servers =
    [
      (let listener = Soil.Tcp.listen ~port:7000 () in
       fun () -> Soil.Tcp.serve listener (header trusted));
      serve ~client peer 8000;
      serve ~client ~secure peer 8443;
      serve ~client:(P.client ~trusted:[ Soil.Net.Prefix.of_string "192.0.2.0/24" ]) peer 8001;
      serve ~log:(entry x_forwarded) (origin x_forwarded) 8002;
      serve ~log:(entry forwarded) (origin forwarded) 8003;
      serve (Limit.handler ~key limit peer) 8004;
      serve ~client (Limit.handler limit peer) 8005;
    ]
  in
  Soil.Net.wait_up ();
  print_endline "ready";
  ignore (Soil.Task.all servers)
