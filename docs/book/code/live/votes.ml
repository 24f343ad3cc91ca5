module Server = Soil_http.Server
module Router = Soil_http.Router
module Events = Soil_http.Events
module Form = Soil_http.Form
module Cookie = Soil_http.Cookie
module Json = Soil_http_yojson
module Limit = Soil_http.Limit
module Forwarded = Soil_http.Forwarded
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
  | Some voter when int_of_string_opt voter <> None && String.length voter < 20 -> voter
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

let follow changes _request = Events.follow changes

(* Of the numbers up to [n], without a pause. *)
let count_primes n =
  let rec is_prime i d = d * d > i || (i mod d <> 0 && is_prime i (d + 1)) in
  let rec count i found =
    if i > n then found else count (i + 1) (found + Bool.to_int (is_prime i 2))
  in
  count 2 0

let primes pool params _request =
  match int_of_string_opt (Router.param params "n") with
  | Some n when n >= 0 && n <= 10_000_000 ->
      Json.response (`Assoc [ ("primes", `Int (Soil_pool.submit pool (fun () -> count_primes n))) ])
  | _ -> Server.status `Bad_request

(* The gateway's networks: the host of a machine on user networking, and the host itself. *)
let gateways = Forwarded.by (List.map Soil.Net.Prefix.of_string [ "10.0.2.0/24"; "127.0.0.0/8" ])
let client request = Option.map Limit.key_of_address (Forwarded.address gateways request)

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  match Kv.connect (data ^ "/votes") with
  | Error e -> failwith (Kv.error_to_string e)
  | Ok store ->
      let changes = Broadcast.create 100 and pool = Soil_pool.create scope in
      let limit = Limit.create ~rate:10. ~burst:50 () in
      let routes =
        [
          Router.get "/" (fun _ _ -> Json.response (results store));
          Router.post "/votes" (fun _ -> vote store changes);
          Router.get "/events" (fun _ -> follow changes);
          Router.get "/primes/:n" (primes pool);
        ]
      in
      let listener = Soil.Tcp.listen ~port () in
      print_endline "open for votes";
      Server.serve listener (Limit.handler ~key:client limit (Router.router routes))
