module Server = Soil_http.Server
module Router = Soil_http.Router
module Middleware = Soil_http.Middleware

(* The user of a request, which the middleware inside finds. *)
let user : string Server.Request.key = Server.Request.key ()

let only_for_users handler request =
  match Server.header request "x-user" with
  | Some name ->
      Server.Request.set request user name;
      handler request
  | None -> Server.error request ~detail:"no user" `Unauthorized

let notes request =
  let name = Option.value (Server.Request.find request user) ~default:"a guest" in
  Server.string ("the notes of " ^ name ^ "\n")

let slow request response seconds =
  if seconds > 1. then
    Printf.printf "%s %s: %d in %.1f s\n%!" (Server.Request.id request)
      (Option.value (Server.Request.route request) ~default:"-")
      (Cohttp.Code.code_of_status (Server.Response.status response))
      seconds

let app =
  Middleware.all
    [
      Middleware.request_id ();
      Middleware.observe slow;
      Middleware.security ~csp:"default-src 'self'" ();
      Middleware.cors ~origins:(Only [ "https://app.example.com" ]) ();
      Middleware.shed ~places:200 ();
      Middleware.timeout 10.;
    ]
    (Router.router [ Router.get "/notes" (fun _ -> only_for_users notes) ])

let () =
  Soil.run @@ fun () ->
  Server.serve ~error:Server.Error.problem ~lame_duck:5. (Soil.Tcp.listen ~port:80 ()) app
