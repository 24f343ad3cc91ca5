module Server = Soil_http.Server

let limits = { Server.default_limits with body_bytes = 16 lsl 20; head_seconds = 5. }

let answer request =
  match (Server.meth request, Server.path request) with
  | `POST, "/notes" -> Server.string (Server.body_string request)
  | `PUT, "/image" ->
      (* A limit of this request's body alone. *)
      let length = String.length (Server.body_string ~max:(1 lsl 30) request) in
      Server.string (string_of_int length)
  | _ -> Server.status `Not_found

let () =
  Soil.run @@ fun () ->
  Server.serve ~limits ~max_connections:1000 (Soil.Tcp.listen ~port:80 ()) answer
