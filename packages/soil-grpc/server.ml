module Http = Soil_http.Server
module H = Cohttp.Header

type call = Call.t

let metadata (c : call) = c.metadata
let request (c : call) = c.request
let path (c : call) = c.path

let time_left (c : call) =
  if c.deadline = infinity then None
  else Some (Float.max 0. (c.deadline -. Soil.Clock.monotonic ()))

let add_header (c : call) name value =
  if c.is_begun then invalid_arg "Soil_grpc.Server.add_header: the head has been sent";
  c.headers <- c.headers @ Metadata.to_fields [ (name, value) ]

let add_trailer (c : call) name value =
  c.trailers <- c.trailers @ Metadata.to_fields [ (name, value) ]

let send_head (c : call) = c.begin_ ()
let set_compress (c : call) compress = c.compresses <- compress
let was_compressed (c : call) = c.was_compressed ()

(* Methods *)

type rpc = { service : string; path : string; run : call -> Http.response }

let rpc (m : _ Method.t) run = { service = m.service; path = Method.path m; run }

let one_response (m : _ Method.t) f =
  rpc m @@ fun call ->
  let frame = ref "" in
  (* Counts until it was sent. *)
  let hold = Soil.Budget.hold in
  match
    Call.outcome call (fun () -> frame := Call.frame call ~hold (m.response.encode (f call)))
  with
  | Ended { code = OK; _ } -> Call.whole call !frame
  | Ended status -> Call.only_status call status
  | Broken (e, backtrace) -> Soil_backtrace.reraise e backtrace

let responses (m : _ Method.t) f =
  rpc m @@ fun call -> Call.streamed call (fun send -> f call (fun v -> send (m.response.encode v)))

let requests (m : _ Method.t) call = Call.reader call m.request.decode ~patient:true

let only_request (m : _ Method.t) call =
  Message.only (Call.reader call m.request.decode ~patient:false)

let unary m f = one_response m (fun call -> f call (only_request m call))
let client_stream m f = one_response m (fun call -> f call (requests m call))
let server_stream m f = responses m (fun call send -> f call (only_request m call) send)
let two_way m f = responses m (fun call send -> f call (requests m call) send)
let services rpcs = List.sort_uniq String.compare (List.map (fun r -> r.service) rpcs)

(* Requests *)

let web_headers =
  [ "content-type"; "grpc-timeout"; "x-grpc-web"; "x-user-agent"; "grpc-accept-encoding" ]

let web_exposed = [ "grpc-status"; "grpc-message"; "grpc-status-details-bin"; "grpc-encoding" ]

(* As HTTP/2 counts fields. *)
let field_bytes = 32

let metadata_of ~max headers =
  let size n (name, value) = n + String.length name + String.length value + field_bytes in
  match Metadata.of_header headers with
  | Error reason -> Status.fail Internal ("malformed metadata: " ^ reason)
  | Ok metadata ->
      if List.fold_left size 0 metadata > max then
        Status.fail Resource_exhausted (Printf.sprintf "metadata of more than %d bytes" max);
      metadata

let seconds_of = function
  | None -> infinity
  | Some text -> (
      match Trailer.of_timeout text with
      | Some seconds -> seconds
      | None -> Status.fail Internal "malformed grpc-timeout")

let encoding_of encodings = function
  | None | Some "identity" -> None
  | Some name -> (
      match Encoding.find encodings name with
      | Some e -> Some e
      | None -> Status.fail Unimplemented "grpc-encoding isn't supported")

let unsupported request =
  Http.error request ~detail:"the body's type isn't application/grpc" `Unsupported_media_type

let report (c : call) e backtrace = Http.report c.request e backtrace

(* What a call takes beside its request, by measurement. *)
let call_bytes = 2048

let handler ?(max_message = 1 lsl 22) ?(max_metadata = 8192) ?(max_seconds = infinity)
    ?(encodings = []) ?(web = false) ?(observe = fun _ _ _ -> ()) ?(on_exception = report)
    ?(others = unsupported) rpcs =
  let table = Hashtbl.create 16 in
  List.iter
    (fun r ->
      if Hashtbl.mem table r.path then
        invalid_arg ("Soil_grpc.Server.handler: two methods " ^ r.path);
      Hashtbl.replace table r.path r)
    rpcs;
  let services = services rpcs in
  let find path =
    match Hashtbl.find_opt table path with
    | Some r -> r
    | None ->
        let is_known s = String.starts_with ~prefix:("/" ^ s ^ "/") path in
        let what = if List.exists is_known services then "method" else "service" in
        Status.fail Unimplemented ("unknown " ^ what)
  in
  let call request form path : call =
    let field = Http.header request in
    let started = Soil.Clock.monotonic () in
    {
      request;
      form;
      path;
      metadata = [];
      deadline = infinity;
      started;
      max_message;
      own = encodings;
      received = None;
      sent = Encoding.preferred encodings (field "grpc-accept-encoding");
      compresses = false;
      headers = [];
      trailers = [];
      is_begun = false;
      begin_ = ignore;
      was_compressed = (fun () -> false);
      broken = None;
      observe;
      on_exception;
    }
  in
  let checked (call : call) : call =
    let field = Http.header call.request in
    let seconds = Float.min max_seconds (seconds_of (field "grpc-timeout")) in
    {
      call with
      metadata = metadata_of ~max:max_metadata (Http.head call.request).headers;
      deadline = call.started +. seconds;
      received = encoding_of encodings (field "grpc-encoding");
    }
  in
  fun request ->
    match Call.form_of ~web request with
    | None -> others request
    | Some form -> (
        if Http.meth request <> `POST then
          Http.error request ~headers:(H.init_with "allow" "POST") `Method_not_allowed
        else
          let path = Http.path request in
          Soil.Budget.hold call_bytes;
          let call = call request form path in
          match
            let r = find path in
            Http.Request.set_route request path;
            (r, checked call)
          with
          | r, call -> r.run call
          | exception Status.Failed status ->
              Call.ended call status;
              Call.only_status call status)
