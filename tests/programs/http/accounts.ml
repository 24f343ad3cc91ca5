(* Users with passwords, sessions and forms; an interface for programs. *)

module Server = Soil_http.Server
module Session = Soil_http.Session
module Csrf = Soil_http.Csrf
module Form = Soil_http.Form

let kept = Session.create ~secure:false (Session.memory ())
let signed keys = Session.create ~cookie:"signed" ~secure:false (Session.cookies keys)

let log_in hash request =
  match Form.find (Csrf.form request) "password" with
  | Some password when Soil_password.verify ~hash password ->
      Session.renew kept request;
      Session.set kept request "user" "ann";
      Server.string "in\n"
  | Some _ | None -> Server.error request `Forbidden

let visits sessions request =
  let n =
    Option.fold ~none:1 ~some:(fun n -> int_of_string n + 1) (Session.find sessions request "n")
  in
  Session.set sessions request "n" (string_of_int n);
  Server.string (string_of_int n ^ "\n")

let pages hash sessions request =
  match (Server.meth request, Server.path request) with
  | `GET, "/token" -> Server.string (Csrf.token kept request)
  | `GET, "/user" ->
      Server.string (Option.value (Session.find kept request "user") ~default:"a guest" ^ "\n")
  | `GET, "/visits" -> visits sessions request
  | `POST, "/log-in" -> log_in hash request
  | `POST, "/log-out" ->
      Session.invalidate kept request;
      Server.string "out\n"
  | _ -> Server.error request `Not_found

let api hash =
  let check ~user ~password =
    if user = "ann" && Soil_password.verify ~hash password then Some user else None
  in
  Soil_http.Auth.basic ~realm:"api" ~check (fun user _ -> Server.string (user ^ "\n"))

let () =
  Soil.run @@ fun () ->
  let hash = Soil_password.hash "secret" in
  let sessions = signed (Soil_http.Signed.keys [ Soil.Random.string 32 ]) in
  let listener = Soil.Tcp.listen ~port:8000 () in
  Soil.Net.wait_up ();
  print_endline "ready";
  let browsers =
    Session.handler kept (Session.handler sessions (Csrf.handler kept (pages hash sessions)))
  in
  let programs = api hash in
  Server.serve listener @@ fun request ->
  if Server.path request = "/api" then programs request else browsers request
