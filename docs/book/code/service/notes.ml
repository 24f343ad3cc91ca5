module Server = Soil_http.Server
module Kv = Soil.Kv

let data = Soil.Needs.volume "data" ~file_systems:[ `Ext4 ] ~doc:"the notes and the certificate"
let port = Soil.Needs.port "https" 443

let respond = function
  | Ok response -> response
  | Error (`Not_found _) -> Server.status `Not_found
  | Error (`Value_expected _) -> Server.status `Conflict
  | Error `No_space -> Server.status `Insufficient_storage
  | Error e -> failwith (Kv.error_to_string e)

let answer store request =
  match (Server.meth request, Kv.Key.v (Uri.pct_decode (Server.path request))) with
  | exception Invalid_argument _ -> Server.status `Bad_request
  | `GET, key -> respond (Result.map (fun note -> Server.string note) (Kv.get store key))
  | `PUT, key ->
      let note = Server.body_string request ~max:65536 in
      respond (Result.map (fun () -> Server.status `Created) (Kv.set store key note))
  | `DELETE, key -> respond (Result.map (fun () -> Server.status `OK) (Kv.remove store key))
  | _ -> Server.status `Method_not_allowed

let () =
  Soil.run @@ fun () ->
  match Kv.connect (data ^ "/notes") with
  | Error e -> failwith (Kv.error_to_string e)
  | Ok store ->
      let files = [ (data ^ "/tls/chain.pem", data ^ "/tls/key.pem") ] in
      let config = Soil_tls.server_config (Soil_tls.Files.certificates files) in
      let listener = Soil.Tcp.listen ~port () in
      print_endline "listening";
      Server.serve listener ~secure:(Soil_tls.server config) (answer store)
