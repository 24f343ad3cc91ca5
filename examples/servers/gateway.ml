(* A reverse proxy: gateway PORT URI… passes requests to the backends at these addresses. *)
module Proxy = Soil_http.Proxy
module Server = Soil_http.Server

let usage () =
  prerr_endline "usage: gateway PORT URI…, such as gateway 80 http://10.0.0.7:8080";
  exit 2

let port, backends =
  match Array.to_list Sys.argv with
  | _ :: port :: (_ :: _ as uris) -> (
      match int_of_string_opt port with
      | Some port -> (port, List.map Uri.of_string uris)
      | None -> usage ())
  | _ -> usage ()

let health = { Proxy.path = "/"; interval = 2.; fall = 2; rise = 2 }

let show_state proxy =
  let line (uri, state, requests) =
    let state =
      match state with
      | Proxy.Up -> "up"
      | Failing -> "failing"
      | Down -> "down"
      | Draining -> "draining"
    in
    Printf.sprintf "%s %s %d\n" (Uri.to_string uri) state requests
  in
  Server.string (String.concat "" (List.map line (Proxy.backends proxy)))

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  let proxy = Proxy.create ~health scope backends in
  print_endline ("the gateway listens on port " ^ string_of_int port);
  Server.serve listener ~http2:(Soil_http.Http2.server ()) @@ fun request ->
  match Server.path request with "/gateway" -> show_state proxy | _ -> Proxy.handle proxy request
