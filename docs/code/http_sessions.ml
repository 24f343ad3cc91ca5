module Server = Soil_http.Server
module Router = Soil_http.Router
module Session = Soil_http.Session
module Csrf = Soil_http.Csrf

let sessions = Session.create (Session.memory ())

(* Names and hashes of passwords. *)
let users : (string, string) Hashtbl.t = Hashtbl.create 10

let log_in request =
  let form = Csrf.form request in
  let field name = Option.value (Soil_http.Form.find form name) ~default:"" in
  (* An unknown user takes as long as a wrong password. *)
  let hash = Hashtbl.find_opt users (field "user") in
  if Soil_password.verify_opt ~hash (field "password") then (
    Session.renew sessions request;
    Session.set sessions request "user" (field "user");
    Server.redirect "/")
  else Server.error request `Forbidden ~detail:"wrong name or password"

let log_out request =
  Session.invalidate sessions request;
  Server.redirect "/"

let form action token fields =
  Printf.sprintf
    {|<form method="post" action="%s"><input type="hidden" name="csrf" value="%s">%s<button>go</button></form>|}
    action token fields

let home request =
  let token = Csrf.token sessions request in
  let headers = Cohttp.Header.init_with "content-type" "text/html; charset=utf-8" in
  Server.string ~headers
    (match Session.find sessions request "user" with
    | Some _ -> form "/log-out" token ""
    | None -> form "/log-in" token {|<input name="user"><input name="password" type="password">|})

let limit = Soil_http.Limit.create ~rate:0.2 ~burst:10 ()

let app =
  Soil_http.Middleware.all
    [ Session.handler sessions; Csrf.handler sessions ]
    (Router.router
       [
         Router.get "/" (fun _ -> home);
         Router.post "/log-in" (fun _ -> Soil_http.Limit.handler limit log_in);
         Router.post "/log-out" (fun _ -> log_out);
       ])
