let answer _store _connection = ()

[@@@part "shown"]

open Cmdliner

let port =
  let doc = "Listen at TCP port $(docv)." and docv = "PORT" in
  let number = Arg.(value & opt Soil_cmdliner.port 80 & info [ "port" ] ~docv ~doc) in
  Term.(const (Soil.Needs.port "http") $ number)

let data = Term.(const (fun () -> Soil.Needs.volume "data") $ const ())

let serve port data () =
  let store = Soil.Kv.connect data in
  Soil.Tcp.serve (Soil.Tcp.listen ~port ()) (answer store)

let () =
  let info = Cmd.info "store" ~version:"1.0" ~doc:"keeps values" in
  Soil_cmdliner.main (Cmd.v info Term.(const serve $ port $ data))
