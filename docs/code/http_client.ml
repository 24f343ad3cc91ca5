module Client = Soil_http.Client

let client =
  let config = Soil_tls.client_config [ Soil_tls.Mozilla.roots ] in
  Client.create ~tls:(Soil_tls.client config) ()

let () =
  Soil.run @@ fun () ->
  let response, page = Client.get client (Uri.of_string "https://example.com/") in
  if response.status = `OK then print_string page;
  (* A body that is too long for memory, straight to a file. *)
  Client.request client `GET (Uri.of_string "https://example.com/image.iso") (fun _ body ->
      Soil.Fs.with_file ~mode:Truncate "/disk/image.iso" (fun file ->
          ignore (Soil.File_descriptor.copy ~src:body ~dst:file ())))
