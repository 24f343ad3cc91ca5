type roots = Settings.roots
type certificates = Settings.certificates
type version = Settings.version = Tls_1_2 | Tls_1_3
type client_config = Settings.config
type server_config = Settings.config
type t = Soil.Flow.t

let pem = Settings.pem
let certificates = Settings.certificates
let replace = Settings.replace
let client_config = Settings.client
let server_config = Settings.server

module Mozilla = Mozilla
module Files = Files

let client config ~host d = Connection.start config ~host:(Some host) d
let server ?received config d = Connection.start ?received config ~host:None d

let within c f =
  Soil.File_descriptor.with_close c (fun c ->
      let result = f c in
      (* A peer that has closed its end needn't hear that this one is done. *)
      (try Soil.File_descriptor.shutdown c `Send
       with
       | Soil.Error.Error { code = Broken_pipe | Connection_reset | Not_connected | Closed; _ } ->
         ());
      result)

let with_client config ~host d f = within (client config ~host d) f
let with_server config d f = within (server config d) f

let version c =
  match Connection.fact (Connection.of_flow "version" c) 0 with "1.2" -> Tls_1_2 | _ -> Tls_1_3

let cipher_suite c = Connection.fact (Connection.of_flow "cipher_suite" c) 1
let some text = if text = "" then None else Some text
let protocol c = some (Connection.fact (Connection.of_flow "protocol" c) 2)
let resumed c = Connection.resumed (Connection.of_flow "resumed" c)
let peer_certificates c = Connection.peer_certificates (Connection.of_flow "peer_certificates" c)
let peer_name c = some (Connection.fact (Connection.of_flow "peer_name" c) 4)
let update_keys c = Connection.update_keys (Connection.of_flow "update_keys" c)
