open Cmdliner

let data = Term.(const (fun () -> Soil.Needs.volume "data") $ const ())

let port =
  let doc = "Listen at TCP port $(docv)." and docv = "PORT" in
  let number = Arg.(value & opt Soil_cmdliner.port 90 & info [ "port" ] ~docv ~doc) in
  Term.(const (Soil.Needs.port "letters") $ number)

let serve data port () =
  Soil.Tcp.serve (Soil.Tcp.listen ~port ()) @@ fun connection ->
  Soil.Fs.append_file (data ^ "/letters") (Soil.File_descriptor.read_all connection)

let () =
  let info = Cmd.info "letters" ~version:"1.0" ~doc:"keeps what it is sent" in
  Soil_cmdliner.main (Cmd.v info Term.(const serve $ data $ port))
