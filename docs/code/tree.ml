let open_store _scope = ()
let name url = url
let follow _store _url _scope = ()
let listen scope = Soil.File_descriptor.own scope (Soil.Tcp.listen ~port:80 ())
let serve listener = Soil.Tcp.serve listener ignore

[@@@part "shown"]

let run urls =
  Soil.Supervisor.run @@ fun s ->
  let store = Soil.Supervisor.add s "store" open_store in
  Soil.Supervisor.add_supervisor s "feeds" ~rule:One (fun feeds ->
      List.iter (fun url -> ignore (Soil.Supervisor.add feeds (name url) (follow store url))) urls)
  |> ignore;
  ignore (Soil.Supervisor.add s "http" listen ~run:serve)
