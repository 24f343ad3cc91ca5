module Tls = Soil_tls
module D = Soil.File_descriptor

type t = Tls.t

let serve ~chain ~key f =
  Soil.run @@ fun () ->
  let config = Tls.server_config (Tls.certificates [ (chain, key) ]) in
  let listener = Soil.Tcp.listen ~port:443 () in
  print_endline "ready";
  Soil.Tcp.serve ~on_error:(fun _ _ -> ()) listener (fun c -> Tls.with_server config c f)

let read c b off len = D.read c b off len
let write c b off len = D.write c b off len
