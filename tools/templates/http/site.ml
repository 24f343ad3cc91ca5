(* The answer to each request. *)
module Server = Soil_http.Server

let answer request =
  match (Server.meth request, String.split_on_char '/' (Server.path request)) with
  | `GET, [ ""; "" ] -> Server.string "hello\n"
  | `GET, [ ""; "hello"; name ] -> Server.string ("hello " ^ Uri.pct_decode name ^ "\n")
  | `POST, [ ""; "upper" ] -> Server.string (String.uppercase_ascii (Server.body_string request))
  | _ -> Server.status `Not_found
