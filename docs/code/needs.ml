let answer _store _connection = ()

[@@@part "shown"]

let data =
  Soil.Needs.volume "data" ~file_systems:[ `Ext4 ] ~at_least:(Soil.Needs.mib 64) ~doc:"the values"

let http = Soil.Needs.port "http" 80
let () = Soil.Needs.memory (Soil.Needs.mib 96)

let () =
  Soil.run @@ fun () ->
  let store = Soil.Kv.connect data in
  Soil.Tcp.serve (Soil.Tcp.listen ~port:http ()) (answer store)
