module Jwks = Soil_jwt.Jwks
module Server = Soil_http.Server

(* A service whose users bring tokens of an issuer. *)
let policy = Soil_jwt.policy ~issuer:"https://id.example" ~audience:"notes" ~typ:"at+jwt" ()

let user keys request =
  match Option.map (String.split_on_char ' ') (Server.header request "authorization") with
  | Some [ "Bearer"; token ] -> Jwks.verify keys policy token
  | _ -> Error (Malformed "no bearer token")

let answer keys request =
  match user keys request with
  | Ok { subject = Some name; _ } -> Server.string ("hello " ^ name ^ "\n")
  | Ok _ | Error _ -> Server.string ~status:`Unauthorized "no valid token\n"

let serve http listener =
  Soil.Task.scope @@ fun scope ->
  let keys = Jwks.create scope http (Uri.of_string "https://id.example/jwks.json") in
  Server.serve listener (answer keys)
