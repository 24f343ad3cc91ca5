(* The proxy in front of the store's machines. Its limits are for requests that take milliseconds:
   a machine that is killed doesn't close its connections, so that time has to show that it is
   gone. *)
module Proxy = Soil_http.Proxy
module Server = Soil_http.Server

let health = { Proxy.path = "/health"; interval = 1.; fall = 2; rise = 1 }

(* Of a machine at a time. Each open page is one: its events. *)
let max_requests = 1000
let limits = { Soil_http.Client.default_limits with head_seconds = 5. }
let session files = Soil_tls.server (Soil_tls.server_config (Soil_tls.Files.certificates [ files ]))

let serve ?files port backends =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let scheme = if files = None then "http" else "https" in
  let proxy =
    Proxy.create ~limits ~connect_seconds:1. ~retries:2 ~max_requests ~health ~scheme scope backends
  in
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  print_endline ("the proxy is open on port " ^ string_of_int port);
  let secure = Option.map session files in
  Server.serve ~error:Server.Error.problem ?secure listener (Proxy.handle proxy)

let () =
  let files, arguments =
    match List.tl (Array.to_list Sys.argv) with
    | "--tls" :: certificate :: key :: rest -> (Some (certificate, key), rest)
    | arguments -> (None, arguments)
  in
  match arguments with
  | port :: (_ :: _ as backends) when int_of_string_opt port <> None ->
      serve ?files (int_of_string port) (List.map Uri.of_string backends)
  | _ ->
      prerr_endline
        "usage: proxy [--tls CERTIFICATE KEY] PORT URI…, such as: proxy 80 http://10.0.0.2 \
         http://10.0.1.2";
      exit 2
