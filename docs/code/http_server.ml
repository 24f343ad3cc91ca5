module Server = Soil_http.Server

let answer request =
  match (Server.meth request, Server.path request) with
  | `GET, "/" -> Server.string "hello\n"
  | `PUT, "/upload" ->
      Soil.Fs.with_file ~mode:Truncate "/disk/upload" (fun file ->
          ignore (Soil.File_descriptor.copy ~src:(Server.body ~max:(1 lsl 30) request) ~dst:file ()));
      Server.status `Created
  | `GET, _ -> Soil_http.Files.handler "/www" request
  | _ -> Server.status `Method_not_allowed

let () = Soil.run @@ fun () -> Server.serve (Soil.Tcp.listen ~port:80 ()) answer
