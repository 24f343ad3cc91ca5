(* A store: accounts, products and orders in PostgreSQL, for any number of machines behind a proxy.
   README.md has the interface. *)
open Store
module Server = Soil_http.Server
module Router = Soil_http.Router
module Middleware = Soil_http.Middleware

let ping = Database.statement "select 1"

(* By a connection of its own: visitors who keep the others busy don't make the machine look down. *)
let health scope uri =
  let db = Database.create ~name:"health" ~max_connections:1 scope uri in
  Health.create scope (fun () ->
      match Database.query db ping [] with _ -> true | exception Database.Unavailable _ -> false)

(* A request's span has all of its time. *)
let observed ~proxies =
  Middleware.all [ Traces.middleware ~proxies; Middleware.request_id (); Metrics.observe ]

let site db health (arguments : Arguments.t) live =
  let api =
    Api.create ~db ~live ~keys:(Lazy.force arguments.keys) ~secure:arguments.secure_cookies
      ~proxies:arguments.proxies
  in
  let check = Router.get "/health" (fun _ -> Health.handle health) in
  let routes = check :: (Pages.routes @ Api.routes api) in
  observed ~proxies:arguments.proxies (Middleware.shed () (Router.router routes))

let office db (arguments : Arguments.t) =
  let rpcs = match arguments.token with Some token -> Back_office.rpcs ~token db | None -> [] in
  let others = Router.router [ Router.get "/metrics" (fun _ -> Metrics.page) ] in
  let handler =
    Soil_grpc.Server.handler ~observe:Soil_otel_grpc.observe ~max_message:16384 ~others rpcs
  in
  Traces.middleware ~proxies:[] handler

(* A receiver that gets a confirmation twice recognises it by the key. *)
let notify client uri (order : Orders.t) ~name =
  let body = Printf.sprintf {|{"order":%d,"account":"%s","total":%d}|} order.id name order.total in
  let headers =
    Cohttp.Header.of_list
      [ ("content-type", "application/json"); ("idempotency-key", string_of_int order.id) ]
  in
  let response, _ = Soil_otel_http.Client.post ~headers client uri (String body) in
  let code = Cohttp.Code.code_of_status response.status in
  if not (Cohttp.Code.is_success code) then failwith (Printf.sprintf "status %d" code)

let deliver (arguments : Arguments.t) =
  match arguments.notify with
  | Some uri ->
      let limits = { Soil_http.Client.default_limits with body_bytes = 65536 } in
      notify (Soil_http.Client.create ~limits ~max_redirects:0 ()) uri
  | None ->
      fun (order : Orders.t) ~name -> Printf.printf "order %d of %s is confirmed\n%!" order.id name

(* The database may start later than its machines. *)
let rec create_tables db =
  match Schema.create db with
  | () -> ()
  | exception Database.Unavailable reason ->
      prerr_endline ("store: database: " ^ reason ^ "; trying again");
      Soil.Clock.sleep 1.;
      create_tables db

let secure scope db : Arguments.certificates -> _ = function
  | Files { chain; key } -> Certificates.of_files (chain, key)
  | Acme { directory; names } -> Certificates.by_acme scope db ~directory names

let serve (arguments : Arguments.t) =
  Soil.Task.scope @@ fun scope ->
  Traces.start scope;
  let db = Database.create scope arguments.database in
  Soil.Net.wait_up ();
  create_tables db;
  let live = Live.create scope db in
  let health = health scope arguments.database in
  let deliver = deliver arguments in
  let deliver order ~name = Metrics.count_confirmation (fun () -> deliver order ~name) in
  ignore (Soil.Task.spawn_daemon scope (fun () -> Outbox.run db ~deliver));
  let secure = Option.map (secure scope db) arguments.tls in
  let site_listener = Soil.Tcp.listen ~port:arguments.port () in
  let office_listener = Soil.Tcp.listen ~port:arguments.office_port () in
  print_endline ("the store is open on port " ^ string_of_int arguments.port);
  let serve_site () =
    (* A machine that is asked to stop serves on until the proxy's checks have found that out. *)
    Server.serve ~lame_duck:3. ~grace:5. ~error:Server.Error.problem ?secure site_listener
      (site db health arguments live)
  in
  let serve_office () =
    let http2 = Soil_http.Http2.server () in
    Server.serve ~grace:5. ~http2 office_listener (office db arguments)
  in
  ignore (Soil.Task.both serve_site serve_office)

let run arguments () =
  match serve arguments with
  | () -> Ok ()
  | exception Soil.Error e -> Error (Soil.Error.to_string e)

let () =
  let info =
    Cmdliner.Cmd.info "store" ~version:Soil.version
      ~doc:"accounts, products and orders in PostgreSQL, for several machines"
  in
  Soil_cmdliner.main_result (Cmdliner.Cmd.v info Cmdliner.Term.(const run $ Arguments.term))
