let serve port = ignore (Soil.Tcp.listen ~port ())

[@@@part "shown"]

let () =
  let port = Soil.Needs.port "http" (int_of_string Sys.argv.(1)) in
  Soil.run @@ fun () -> serve port
