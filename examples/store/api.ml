module Server = Soil_http.Server
module Router = Soil_http.Router
module Session = Soil_http.Session
module Csrf = Soil_http.Csrf
module Limit = Soil_http.Limit
module Forwarded = Soil_http.Forwarded
module Json = Soil_http_yojson

type t = {
  db : Database.t;
  live : Live.t;
  sessions : Session.t;
  logins : Limit.t;
  proxies : Forwarded.proxies;
}

let create ~db ~live ~keys ~secure ~proxies =
  {
    db;
    live;
    sessions = Session.create ~secure (Session.cookies keys);
    logins = Limit.create ~rate:0.5 ~burst:20 ();
    proxies = Forwarded.by proxies;
  }

let max_body = 8192
let no_store = Cohttp.Header.init_with "cache-control" "no-store"
let json ?status value = Json.response ?status ~headers:no_store value
let member name json = Yojson.Safe.Util.member name json
let text name json = Yojson.Safe.Util.to_string (member name json)
let number name json = Yojson.Safe.Util.to_int (member name json)
let valid = function Ok value -> value | Error reason -> raise (Json.Invalid reason)

(* Sessions *)

let credentials json =
  valid (Accounts.credentials ~name:(text "name" json) ~password:(text "password" json))

let account t request =
  Option.bind (Session.find t.sessions request "account") (Accounts.of_session t.db)

let show_session ?status t request (account : Accounts.t option) =
  let name = match account with Some { name; _ } -> `String name | None -> `Null in
  json ?status (`Assoc [ ("account", name); ("csrf", `String (Csrf.token t.sessions request)) ])

let begin_session ?status t request account =
  Session.renew t.sessions request;
  Session.set t.sessions request "account" (Accounts.session account);
  show_session ?status t request (Some account)

let register t =
  Json.handle ~max:max_body credentials @@ fun request credentials ->
  match Accounts.register t.db credentials with
  | Ok account -> begin_session ~status:`Created t request account
  | Error `Name_taken -> Server.error request `Conflict ~detail:"name: another account has it"

let log_in t =
  Json.handle ~max:max_body credentials @@ fun request credentials ->
  match Accounts.log_in t.db credentials with
  | Some account -> begin_session t request account
  | None -> Server.error request `Unauthorized ~detail:"unknown name or wrong password"

let log_out t request =
  Option.iter (Accounts.log_out t.db) (account t request);
  Session.invalidate t.sessions request;
  Server.status `No_content

let limited t handler =
  let key request = Option.map Limit.key_of_address (Forwarded.address t.proxies request) in
  Limit.handler ~key t.logins handler

(* Orders *)

let show_order (order : Orders.t) =
  `Assoc
    [ ("id", `Int order.id); ("total", `Int order.total); ("confirmed", `Bool order.confirmed) ]

let lines json =
  let line json = { Orders.product = number "product" json; quantity = number "quantity" json } in
  valid (Orders.lines (List.map line (Yojson.Safe.Util.to_list (member "lines" json))))

let refuse request : Orders.refusal -> Server.response = function
  | Not_in_stock { product; quantity } ->
      let detail = Printf.sprintf "product %d: fewer than %d in stock" product quantity in
      Server.error request `Conflict ~detail
  | Key_reused ->
      let detail = "Idempotency-Key: another order has it" in
      Server.error request `Unprocessable_entity ~detail

let place t account key =
  Json.handle ~max:max_body ~max_depth:4 ~max_values:200 lines @@ fun request lines ->
  match Orders.place t.db ~account ~key lines with
  | Ok (New order) ->
      Metrics.count_order `Placed;
      json ~status:`Created (show_order order)
  | Ok (Repeated order) ->
      Metrics.count_order `Repeated;
      json (show_order order)
  | Error refusal ->
      Metrics.count_order `Refused;
      refuse request refusal

let signed_in t handler request =
  match account t request with
  | Some account -> handler account request
  | None -> Server.error request `Unauthorized ~detail:"log in first"

let order t account request =
  match Option.bind (Server.header request "idempotency-key") Orders.key with
  | Some key -> place t account key request
  | None ->
      let detail = "Idempotency-Key: not 1 to 64 printable characters; send a new one per order" in
      Server.error request `Bad_request ~detail

let list_orders t account _request =
  json (`List (List.map show_order (Orders.of_account t.db account)))

(* Routes *)

let products t request =
  let given = Option.value (List.assoc_opt "after" (Server.query request)) ~default:[ "0" ] in
  match int_of_string_opt (String.concat "," given) with
  | Some after -> json (Live.to_json (Products.after t.db after))
  | None -> Server.error request `Bad_request ~detail:"after: not a number"

let available handler params request =
  try handler params request
  with Database.Unavailable reason ->
    prerr_endline ("store: database: " ^ reason);
    let headers = Cohttp.Header.init_with "retry-after" "1" in
    Server.error ~headers request `Service_unavailable ~detail:"the database is away; try again"

let in_session t handler params =
  Session.handler t.sessions (Csrf.handler t.sessions (handler params))

let routes t =
  let middleware handler = available (in_session t handler) in
  [
    Router.scope "/api" ~middleware
      [
        Router.get "/session" (fun _ request -> show_session t request (account t request));
        Router.post "/session" (fun _ -> limited t (log_in t));
        Router.delete "/session" (fun _ -> log_out t);
        Router.post "/accounts" (fun _ -> limited t (register t));
        Router.get "/orders" (fun _ -> signed_in t (list_orders t));
        Router.post "/orders" (fun _ -> signed_in t (order t));
      ];
    Router.scope "/api/products" ~middleware:available
      [ Router.get "" (fun _ -> products t); Router.get "/events" (fun _ _ -> Live.stream t.live) ];
  ]
