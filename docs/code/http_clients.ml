module Server = Soil_http.Server
module Forwarded = Soil_http.Forwarded
module Limit = Soil_http.Limit

let proxies = Forwarded.by [ Soil.Net.Prefix.of_string "10.0.0.0/8" ]

let answer request =
  match Forwarded.address proxies request with
  | Some address -> Server.string (Soil.Net.Address.to_string address ^ "\n")
  | None -> Server.status `Bad_request

let () =
  Soil.run @@ fun () ->
  let limit = Limit.create ~rate:10. ~burst:50 () in
  let key request = Option.map Limit.key_of_address (Forwarded.address proxies request) in
  let log entry = print_endline (Soil_http.Access_log.combined (Forwarded.entry proxies entry)) in
  Server.serve ~log (Soil.Tcp.listen ~port:80 ()) (Limit.handler ~key limit answer)
