module H = Cohttp.Header
module Request = Server.Request
module Sent = Response
module Response = Server.Response

type handler = Server.request -> Server.response
type t = handler -> handler

let all l handler = List.fold_right (fun m handler -> m handler) l handler

let only is m handler =
  let inside = m handler in
  fun request -> if is request then inside request else handler request

(* [change request response] of each response. *)
let changing change handler request =
  Request.map_response request (change request);
  handler request

(* Observation *)

let is_id s =
  let n = String.length s in
  n >= 1 && n <= 128
  && String.for_all
       (function 'A' .. 'Z' | 'a' .. 'z' | '0' .. '9' | '.' | '_' | '-' -> true | _ -> false)
       s

let request_id ?(header = "x-request-id") ?(accept = fun _ -> false) () handler request =
  (match Server.header request header with
  | Some id when is_id id && accept request -> Request.set_id request id
  | _ -> ());
  changing (fun request -> Response.set_header header (Request.id request)) handler request

let observe f handler request =
  let began = Soil.Clock.monotonic () in
  let observed request response =
    f request response (Soil.Clock.monotonic () -. began);
    response
  in
  changing observed handler request

(* Errors and limits *)

let errors show handler request =
  Request.set_error request show;
  handler request

let max_body bytes handler request =
  Request.set_max_body request bytes;
  handler request

let timeout seconds =
  if not (seconds > 0.) then invalid_arg "Soil_http.Middleware.timeout: seconds isn't positive";
  fun handler request ->
    match Soil.Task.timeout_opt seconds (fun () -> handler request) with
    | Some response -> response
    | None -> Server.error request ~detail:"the time is over" `Service_unavailable

let later request =
  Server.error request ~headers:(H.init_with "retry-after" "1") `Service_unavailable

let shed ?(seconds = 0.5) ?places () =
  if not (seconds > 0.) then invalid_arg "Soil_http.Middleware.shed: seconds isn't positive";
  if Option.fold ~none:false ~some:(fun n -> n < 1) places then
    invalid_arg "Soil_http.Middleware.shed: places is less than 1";
  let room = Option.map Soil.Task.Semaphore.create places in
  (* Whether the handler can begin in time. *)
  let enter () =
    let began = Soil.Clock.monotonic () in
    Soil.Task.yield ();
    let left = began +. seconds -. Soil.Clock.monotonic () in
    left > 0.
    &&
    match room with
    | None -> true
    | Some room ->
        Soil.Task.Semaphore.try_acquire room
        || Soil.Task.timeout_opt left (fun () -> Soil.Task.Semaphore.acquire room) = Some ()
  in
  let leave () = Option.iter Soil.Task.Semaphore.release room in
  fun handler request ->
    if enter () then Soil.Private.finally leave (fun () -> handler request) else later request

(* Browsers *)

let seconds_text s = Printf.sprintf "%.0f" (Float.max 0. s)

let security ?hsts ?csp ?(frames = false) ?(referrer = "strict-origin-when-cross-origin") () =
  let optional name = Option.fold ~none:[] ~some:(fun value -> [ (name, value) ]) in
  let fields =
    [
      ("x-content-type-options", "nosniff");
      ("referrer-policy", referrer);
      ("cross-origin-opener-policy", "same-origin");
    ]
    @ (if frames then [] else [ ("x-frame-options", "DENY") ])
    @ optional "content-security-policy" csp
    @ optional "strict-transport-security"
        (Option.map (fun seconds -> "max-age=" ^ seconds_text seconds) hsts)
  in
  let add _ response =
    List.fold_left (fun r (name, value) -> Response.set_default name value r) response fields
  in
  changing add

type origins = Any | Only of string list | Where of (string -> bool)

let vary name response =
  let headers = Response.headers response in
  if Grammar.mem headers "vary" name || Grammar.mem headers "vary" "*" then response
  else Response.add_header "vary" name response

let default_methods = [ `GET; `HEAD; `POST; `PUT; `PATCH; `DELETE ]

let cors ?(methods = default_methods) ?(headers = [ "content-type"; "authorization" ])
    ?(expose = []) ?(credentials = false) ?(max_age = 600.) ~origins () =
  (match origins with
  | Any when credentials -> invalid_arg "Soil_http.Middleware.cors: credentials for any origin"
  | Any | Only _ | Where _ -> ());
  let methods = String.concat ", " (List.map Cohttp.Code.string_of_method methods)
  and headers = String.concat ", " headers
  and expose = String.concat ", " expose in
  let allowed origin =
    match origins with
    | Any -> Some "*"
    | Only l -> if List.mem origin l then Some origin else None
    | Where is -> if is origin then Some origin else None
  in
  let set name value response =
    if value = "" then response else Response.set_header name value response
  in
  (* What depends on the origin, for the origin of this request. *)
  let allow origin response =
    let response = match origins with Any -> response | _ -> vary "origin" response in
    match Option.bind origin allowed with
    | None -> response
    | Some value ->
        set "access-control-allow-origin" value response
        |> set "access-control-allow-credentials" (if credentials then "true" else "")
  in
  let preflight origin =
    let response = allow origin (Server.status `No_content) in
    if Response.header response "access-control-allow-origin" = None then response
    else
      set "access-control-allow-methods" methods response
      |> set "access-control-allow-headers" headers
      |> set "access-control-max-age" (seconds_text max_age)
  in
  fun handler request ->
    let origin = Server.header request "origin" in
    let is_preflight =
      Server.meth request = `OPTIONS
      && origin <> None
      && Server.header request "access-control-request-method" <> None
    in
    if is_preflight then preflight origin
    else
      let add _ response =
        let response = allow origin response in
        if Response.header response "access-control-allow-origin" = None then response
        else set "access-control-expose-headers" expose response
      in
      changing add handler request

(* Caches *)

let tag_of text = "\"" ^ Digest.BLAKE128.(to_hex (string text)) ^ "\""

let conditional handler request =
  let response = handler request in
  let body = (response : Sent.t).body in
  match (Server.meth request, Response.status response, body) with
  | (`GET | `HEAD), `OK, Text text -> (
      let tag = Option.value (Response.header response "etag") ~default:(tag_of text) in
      let response = Response.set_header "etag" tag response in
      let size = String.length text in
      match Validators.judge (Server.head request) { tag; modified = None } ~size with
      | Not_modified ->
          let response = Response.remove_header "content-type" response in
          ({ response with status = `Not_modified; body = Empty } : Sent.t)
      | Failed -> Server.error request `Precondition_failed
      | Whole | Parts _ | Unsatisfiable -> response)
  | _ -> response

let cache directives =
  let add _ response =
    if Cohttp.Code.code_of_status (Response.status response) >= 400 then response
    else Response.set_default "cache-control" directives response
  in
  changing add
