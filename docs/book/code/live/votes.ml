module Server = Soil_http.Server
module Router = Soil_http.Router
module Events = Soil_http.Events
module Form = Soil_http.Form
module Cookie = Soil_http.Cookie
module Json = Soil_http_yojson
module Broadcast = Soil.Broadcast
module Kv = Soil.Kv

let data = Soil.Needs.volume "data" ~file_systems:[ `Ext4 ] ~doc:"the votes"
let port = Soil.Needs.port "http" 8000
let choices = [ "tea"; "coffee" ]
let key choice voter = Kv.Key.(v choice / voter)

let count store choice =
  match Kv.list store (Kv.Key.v choice) with
  | Ok votes -> List.length votes
  | Error (`Not_found _) -> 0
  | Error e -> failwith (Kv.error_to_string e)

let results store = `Assoc (List.map (fun choice -> (choice, `Int (count store choice))) choices)

(* A browser keeps its number in a cookie. *)
let voter request =
  match Cookie.find request "voter" with
  | Some voter when String.for_all (fun c -> c >= '0' && c <= '9') voter && voter <> "" -> voter
  | _ -> string_of_int (Soil.Random.int max_int)

let vote store changes request =
  match Form.find (Form.read request) "choice" with
  | Some choice when List.mem choice choices -> (
      let voter = voter request in
      match Kv.set store (key choice voter) "" with
      | Ok () ->
          Broadcast.publish changes (Events.message (Yojson.Safe.to_string (results store)));
          Cookie.add (Cookie.make ~secure:false "voter" voter) (Server.redirect "/")
      | Error e -> failwith (Kv.error_to_string e))
  | _ -> Server.status `Bad_request

let follow changes _request =
  Events.stream @@ fun client ->
  Soil.Task.scope @@ fun scope ->
  let subscription = Broadcast.subscribe scope changes in
  let rec next () =
    match Broadcast.take subscription with
    | Message message ->
        Events.send client message;
        next ()
    | Missed _ -> next ()
    | Ended -> ()
  in
  next ()

let () =
  Soil.run @@ fun () ->
  match Kv.connect (data ^ "/votes") with
  | Error e -> failwith (Kv.error_to_string e)
  | Ok store ->
      let changes = Broadcast.create 100 in
      let routes =
        [
          Router.get "/" (fun _ _ -> Json.response (results store));
          Router.post "/votes" (fun _ -> vote store changes);
          Router.get "/events" (fun _ -> follow changes);
        ]
      in
      let listener = Soil.Tcp.listen ~port () in
      print_endline "open for votes";
      Server.serve listener (Router.router routes)
