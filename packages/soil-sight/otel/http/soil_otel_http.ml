module Otel = Soil_otel
module Server = Soil_http.Server
module H = Cohttp.Header

(* https://opentelemetry.io/docs/specs/semconv/http/http-spans/ *)

let known : Cohttp.Code.meth -> bool = function
  | `GET | `HEAD | `POST | `PUT | `DELETE | `CONNECT | `OPTIONS | `TRACE | `PATCH -> true
  | `Other _ -> false

let name_of meth = if known meth then Cohttp.Code.string_of_method meth else "HTTP"

let method_attributes meth : Otel.attributes =
  let name = `String (Cohttp.Code.string_of_method meth) in
  if known meth then [ ("http.request.method", name) ]
  else [ ("http.request.method", `String "_OTHER"); ("http.request.method_original", name) ]

let optional key value = Option.fold value ~none:[] ~some:(fun v -> [ (key, v) ])
let text key value = optional key (Option.map (fun s -> `String s) value)

let address_attributes host port : Otel.attributes =
  text "server.address" host @ optional "server.port" (Option.map (fun n -> `Int n) port)

let set_outcome span ~first_error status =
  let code = Cohttp.Code.code_of_status status in
  Otel.set_attribute span "http.response.status_code" (`Int code);
  if code >= first_error then (
    Otel.set_attribute span "error.type" (`String (string_of_int code));
    Otel.set_status span (Error ""))

(* Servers *)

(* [Host], as {!Server} accepts it: a name or an address, which may have brackets, and a port. *)
let authority_attributes host =
  match String.rindex_opt host ':' with
  | Some i when host.[String.length host - 1] <> ']' ->
      let port = int_of_string_opt (String.sub host (i + 1) (String.length host - i - 1)) in
      address_attributes (Some (String.sub host 0 i)) port
  | Some _ | None -> address_attributes (Some host) None

let request_attributes scheme request : Otel.attributes =
  let head = Server.head request in
  let client = Option.map Soil.Net.(fun (e : endpoint) -> Address.to_string e.address) in
  let version =
    match head.version with `HTTP_1_0 -> "1.0" | `HTTP_1_1 -> "1.1" | `Other _ -> "2"
  in
  method_attributes head.meth
  @ [
      ("url.scheme", `String scheme);
      ("url.path", `String (Server.path request));
      ("network.protocol.version", `String version);
    ]
  @ Option.fold ~none:[] ~some:authority_attributes (H.get head.headers "host")
  @ text "client.address" (client (Server.endpoint request))
  @ text "user_agent.original" (H.get head.headers "user-agent")

let remote request =
  let values = H.get_multi (Server.head request).headers in
  Otel.Trace_context.of_fields ~traceparent:(values "traceparent") ~tracestate:(values "tracestate")

let end_with_response span request =
  let name = Otel.name span in
  let respond response =
    set_outcome span ~first_error:500 (Server.Response.status response);
    response
  in
  Server.Request.map_response request respond;
  Soil.Task.on_release (Server.scope request) @@ fun () ->
  Option.iter
    (fun route ->
      Otel.set_attribute span "http.route" (`String route);
      (* Unless the handler has set another one. *)
      if Otel.name span = name then Otel.set_name span (name ^ " " ^ route))
    (Server.Request.route request);
  Otel.finish span

let middleware ?(accept = fun _ -> false) ?(scheme = "http") () handler request =
  if not (Otel.is_running ()) then handler request
  else
    let parent =
      match if accept request then remote request else None with
      | Some c -> Otel.Remote c
      | None -> Root
    in
    let span = Otel.start_span ~kind:Server ~parent (name_of (Server.meth request)) in
    if not (Otel.is_recording span) then Otel.within span (fun () -> handler request)
    else (
      if parent = Root then Option.iter (Otel.add_link span) (remote request);
      Otel.set_attributes span (request_attributes scheme request);
      end_with_response span request;
      Otel.within span @@ fun () ->
      try handler request
      with e ->
        let backtrace = Soil_backtrace.get () in
        (match e with
        (* A response, and no failure. *)
        | Server.Refused _ -> ()
        | e -> Otel.record_exception span e backtrace);
        Soil_backtrace.reraise e backtrace)

let proxy_fields _ =
  match Otel.fields (Otel.current ()) with
  | [] -> []
  | fields ->
      (* The client's own doesn't belong to this parent. *)
      List.map (fun name -> (name, List.assoc_opt name fields)) [ "traceparent"; "tracestate" ]

(* Clients *)

module Client = struct
  module Client = Soil_http.Client

  (* What follows the path may be secret, and so may the user. *)
  let full uri = Uri.to_string Uri.(with_userinfo (with_fragment (with_query uri []) None) None)

  (* The fields of a request for which [span] has begun. *)
  let begun span ?(headers = H.init ()) meth uri =
    if Otel.is_recording span then
      Otel.set_attributes span
        (method_attributes meth
        @ address_attributes (Uri.host uri) (Uri.port uri)
        @ [ ("url.full", `String (full uri)) ]);
    match Otel.fields span with
    | [] -> headers
    | fields ->
        (* The caller's own, as of a request that is passed on, doesn't belong to this parent. *)
        H.add_list (List.fold_left H.remove headers [ "traceparent"; "tracestate" ]) fields

  let answered span (response : Cohttp.Response.t) =
    set_outcome span ~first_error:400 response.status

  let traced ?headers meth uri send =
    Otel.with_span ~kind:Client (name_of meth) @@ fun span ->
    send span (begun span ?headers meth uri)

  let whole span ((response, _) as answer) =
    answered span response;
    answer

  let request ?headers ?body ?on_interim ?on_trailers client meth uri f =
    traced ?headers meth uri @@ fun span headers ->
    Client.request ~headers ?body ?on_interim ?on_trailers client meth uri @@ fun response source ->
    answered span response;
    f response source

  let get ?headers client uri =
    traced ?headers `GET uri (fun span headers -> whole span (Client.get ~headers client uri))

  let post ?headers client uri body =
    traced ?headers `POST uri (fun span headers ->
        whole span (Client.post ~headers client uri body))

  let open_ ?headers ?body ?patient ?on_interim ?on_trailers scope client meth uri =
    let span = Otel.start_span ~kind:Client (name_of meth) in
    Soil.Task.on_release scope (fun () -> Otel.finish span);
    let headers = begun span ?headers meth uri in
    match Client.open_ ~headers ?body ?patient ?on_interim ?on_trailers scope client meth uri with
    | answer -> whole span answer
    | exception e ->
        let backtrace = Soil_backtrace.get () in
        Otel.record_exception span e backtrace;
        Soil_backtrace.reraise e backtrace
end
