(* A dashboard of this server and a chat, pushed to browsers. README.md has the interface. *)
module Server = Soil_http.Server
module Router = Soil_http.Router
module Cookie = Soil_http.Cookie
module Events = Soil_http.Events
module Json = Soil_http_yojson
module Signed = Soil_http.Signed

(* Names: a form sets them, and a signed cookie keeps them. *)

let cookie = "name"
let lifetime = 30. *. 86400.
let name keys request = Signed.find keys request cookie
let is_printable s = String.for_all (fun c -> c >= ' ' && c <> '\127') s
let is_text s ~most = s <> "" && String.length s <= most && is_printable s

let set_name keys request =
  let form = Soil_http.Form.read ~max:4096 ~max_fields:2 request in
  match Option.map String.trim (Soil_http.Form.find form "name") with
  | Some name when is_text name ~most:40 ->
      let value = Signed.sign keys ~name:cookie ~lifetime name in
      let set = Cookie.make ~secure:false ~max_age:lifetime cookie value in
      Cookie.add set (Server.redirect "/")
  | Some _ | None -> Server.status `Bad_request

let forget_name _request = Cookie.add (Cookie.remove ~secure:false cookie) (Server.redirect "/")

let me keys request =
  let value = match name keys request with Some name -> `String name | None -> `Null in
  let headers = Cohttp.Header.init_with "cache-control" "no-store" in
  Json.response ~headers (`Assoc [ ("name", value) ])

(* The chat *)

let text json =
  let text = Yojson.Safe.Util.(to_string (member "text" json)) in
  if not (is_text text ~most:500) then raise (Json.Invalid "text: not 1 to 500 printable bytes");
  text

let say keys chat request =
  match name keys request with
  | None -> Server.error request `Forbidden ~detail:"enter a name first"
  | Some name ->
      let add _ text =
        let id = Chat.say chat ~name text in
        Json.response ~status:`Created (`Assoc [ ("id", `Int id) ])
      in
      Json.handle ~max:4096 text add request

(* The stream *)

let follow chat figures request =
  let last = Option.bind (Events.last_event_id request) int_of_string_opt in
  Events.stream @@ fun client ->
  Soil.Task.scope @@ fun scope ->
  let messages = Chat.subscribe chat ?after:last scope in
  let numbers = Figures.subscribe figures scope in
  let missed n = Events.send client (Events.message ~event:"missed" (string_of_int n)) in
  let forward subscription () = Events.forward ~missed client subscription in
  ignore (Soil.Task.both (forward messages) (forward numbers))

let app keys chat figures =
  let routes =
    [
      Router.get "/" (fun _ request -> Soil_http.Files.file request "/live/assets/index.html");
      Router.get "/assets/*file" (fun _ -> Soil_http.Files.handler "/live");
      Router.post "/name" (fun _ -> set_name keys);
      Router.post "/name/forget" (fun _ -> forget_name);
      Router.scope "/api"
        [
          Router.get "/me" (fun _ -> me keys);
          Router.get "/events" (fun _ -> follow chat figures);
          Router.post "/messages" (fun _ -> say keys chat);
        ];
    ]
  in
  Soil_http.Encoding.handler [ Soil_http_gzip.coding () ] (Router.router routes)

(* Without a key of its own the server forgets all names when it ends. *)
let keys () =
  match Sys.getenv_opt "LIVE_KEY" with
  | Some key -> Signed.keys [ key ]
  | None -> Signed.keys [ Soil.Random.string 32 ]

let serve port =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let chat = Chat.create () in
  let figures = Figures.create scope chat in
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  print_endline ("live listens on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  let log _ = Figures.count_response figures in
  Server.serve ~grace:1. ~log listener (app (keys ()) chat figures)

let () =
  match Sys.argv with
  | [| _ |] -> serve 80
  | [| _; port |] when int_of_string_opt port <> None -> serve (int_of_string port)
  | _ ->
      prerr_endline "usage: live [PORT]";
      exit 2
