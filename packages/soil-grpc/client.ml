module Http = Soil_http.Client
module D = Soil.File_descriptor
module H = Cohttp.Header
module Promise = Soil.Task.Promise
module Queue = Soil.Task.Stream

type retry = {
  attempts : int;
  first_seconds : float;
  max_seconds : float;
  factor : float;
  codes : Status.code list;
}

let default_retry =
  { attempts = 4; first_seconds = 0.1; max_seconds = 5.; factor = 2.; codes = [ Unavailable ] }

type t = {
  http : Http.t;
  uri : Uri.t;
  max_message : int;
  encodings : Encoding.t list;
  metadata : Metadata.t;
  retry : retry option;
  mutable failures : float;  (** No repetitions from the half of [max_failures] on. *)
}

let max_failures = 10.
let success = 0.1

let create ?(max_message = 1 lsl 22) ?(encodings = []) ?(metadata = []) ?retry http uri =
  ignore (Metadata.to_fields metadata);
  let path = Uri.path uri in
  let path =
    if String.ends_with ~suffix:"/" path then String.sub path 0 (String.length path - 1) else path
  in
  let uri = Uri.with_path uri path in
  { http; uri; max_message; encodings; metadata; retry; failures = 0. }

type 'a call =
  ?metadata:Metadata.t ->
  ?timeout:float ->
  ?compress:bool ->
  ?on_head:(Metadata.t -> unit) ->
  ?on_trailers:(Metadata.t -> unit) ->
  t ->
  'a

(* A call without its messages. *)
type options = {
  client : t;
  path : string;
  fields : (string * string) list;
  deadline : float;  (** Of {!Soil.Clock.monotonic}. *)
  encoding : Encoding.t option;  (** Of the requests' messages. *)
  on_head : Metadata.t -> unit;
  on_trailers : Metadata.t -> unit;
}

(* Errors *)

let of_http_problem : Http.problem -> Status.t = function
  | Truncated -> Status.v Unavailable "the connection ended before the response"
  | Too_slow -> Status.v Unavailable "the server is too slow"
  | Malformed -> Status.v Internal "the response isn't HTTP"
  (* Messages have a limit of their own. *)
  | Too_large -> Status.v Resource_exhausted "the response's metadata is too large"
  | problem -> Status.v Unknown (Http.problem_to_string problem)

let of_exception = function
  | Http.Failed (_, problem) -> Some (of_http_problem problem)
  | Soil.Error { code = Out_of_memory; _ } -> None
  | Soil.Error e -> Some (Status.v Unavailable (Soil.Error.to_string e))
  | _ -> None

(* [f ()], whose failures of the connection become statuses. *)
let guard f =
  try f ()
  with e -> (
    let backtrace = Soil_backtrace.get () in
    match of_exception e with
    | Some status -> Soil_backtrace.raise (Status.Failed status)
    | None -> Soil_backtrace.reraise e backtrace)

(* Responses *)

type response = {
  options : options;
  head : Cohttp.Response.t;
  source : Soil.Flow.source;
  ending : H.t option ref;  (** The trailers. *)
  mutable is_over : bool;
}
(** A response whose messages are to be read. *)

let metadata_of header =
  match Metadata.of_header header with
  | Ok metadata -> metadata
  | Error reason -> Status.fail Internal ("malformed metadata: " ^ reason)

type failure = { status : Status.t; pushback : string option; is_begun : bool }
(** How a response fails: it may be repeated if it had no head of its own. *)

exception Refused of failure

let is_grpc header =
  match H.get header "content-type" with
  | None -> false
  | Some kind ->
      let kind = String.lowercase_ascii (String.trim (fst (Soil.Private.cut ';' kind))) in
      kind = "application/grpc" || String.starts_with ~prefix:"application/grpc+" kind

let refuse ?pushback ~is_begun status =
  Soil_backtrace.raise (Refused { status; pushback; is_begun })

(* The head, without the messages. A status in the head is the whole response. *)
let check_head r =
  let header = r.head.headers in
  let n = Cohttp.Code.code_of_status r.head.status in
  match Trailer.of_header header with
  | Some { code = OK; _ } when n = 200 -> r.ending := Some header
  | Some status when status.code <> OK ->
      r.options.on_trailers (metadata_of header);
      refuse ?pushback:(H.get header "grpc-retry-pushback-ms") ~is_begun:false status
  | Some _ | None ->
      if n <> 200 then refuse ~is_begun:false (Trailer.of_http n);
      if not (is_grpc header) then
        refuse ~is_begun:true (Status.v Unknown "the response isn't of type application/grpc");
      r.options.on_head (metadata_of header)

let open_ scope options ~attempt body =
  let { client = t; path; _ } = options in
  let left = options.deadline -. Soil.Clock.monotonic () in
  let headers =
    H.of_list
      ([ ("content-type", "application/grpc"); ("te", "trailers") ]
      @ (if left = infinity then [] else [ ("grpc-timeout", Trailer.timeout left) ])
      @ (match options.encoding with
        | None -> []
        | Some e -> [ ("grpc-encoding", Encoding.name e) ])
      @ (if t.encodings = [] then []
         else [ ("grpc-accept-encoding", String.concat "," (List.map Encoding.name t.encodings)) ])
      @ (if attempt = 0 then [] else [ ("grpc-previous-rpc-attempts", string_of_int attempt) ])
      @ options.fields)
  in
  let ending = ref None in
  let on_trailers header = if !ending = None then ending := Some header in
  let uri = Uri.with_path t.uri (Uri.path t.uri ^ path) in
  let head, source =
    guard (fun () -> Http.open_ ~headers ~body ~patient:true ~on_trailers scope t.http `POST uri)
  in
  let r = { options; head; source; ending; is_over = false } in
  check_head r;
  r

(* At the end of the messages. *)
let check_end r =
  let header = Option.value !(r.ending) ~default:(H.init ()) in
  if not r.is_over then (
    r.is_over <- true;
    r.options.on_trailers (metadata_of header));
  match Trailer.of_header header with
  | Some { code = OK; _ } -> ()
  | Some status -> Soil_backtrace.raise (Status.Failed status)
  | None -> Status.fail Unknown "the response ends without a status"

let encoding r =
  let name = Option.value (H.get r.head.headers "grpc-encoding") ~default:"identity" in
  Encoding.find r.options.client.encodings name

(* [response ()] waits for the response. *)
let reader options (m : _ Method.t) response =
  let read b off len =
    let r = response () in
    guard (fun () -> D.read r.source b off len)
  in
  Message.reader
    ~encoding:(fun () -> encoding (response ()))
    ~at_end:(fun () -> check_end (response ()))
    ~max:options.client.max_message m.response.decode
    (Soil.Flow.source ~name:"grpc" read)

(* Deadlines *)

let in_time options f =
  if options.deadline = infinity then f ()
  else
    let late () = Status.fail Deadline_exceeded "the deadline has passed" in
    let left = options.deadline -. Soil.Clock.monotonic () in
    if left <= 0. then late ()
    else match Soil.Task.timeout_opt left f with Some v -> v | None -> late ()

let deadline_of timeout =
  let inherited = Option.value (Soil.Task.Local.get Deadline.key) ~default:infinity in
  match timeout with
  | None -> inherited
  | Some seconds -> Float.min inherited (Soil.Clock.monotonic () +. seconds)

(* Repetitions *)

let failed t =
  t.failures <- Float.min max_failures (t.failures +. 1.);
  t.failures < max_failures /. 2.

let succeeded t = t.failures <- Float.max 0. (t.failures -. success)

let backoff retry attempt =
  let mean = retry.first_seconds *. (retry.factor ** float_of_int attempt) in
  Float.min mean retry.max_seconds *. (0.8 +. (float_of_int (Soil.Random.int 401) /. 1000.))

(* The seconds until the next attempt, if there is to be one. *)
let next_attempt t attempt failure =
  match t.retry with
  | Some retry
    when (not failure.is_begun)
         && List.mem failure.status.code retry.codes
         && failed t
         && attempt + 1 < retry.attempts -> (
      match failure.pushback with
      | None -> Some (backoff retry attempt)
      | Some text -> (
          match int_of_string_opt text with
          | Some ms when ms >= 0 -> Some (float_of_int ms /. 1e3)
          | Some _ | None -> None))
  | _ -> None

(* [f r] for the response to a request of one message. *)
let with_response options message f =
  let t = options.client in
  Soil.Budget.scratch @@ fun hold ->
  let body = Http.String (Message.frame ?encoding:options.encoding ~hold message) in
  let once attempt =
    Soil.Task.scope @@ fun scope ->
    let r =
      try open_ scope options ~attempt body
      with Status.Failed status -> refuse ~is_begun:false status
    in
    let result = f r in
    succeeded t;
    result
  in
  let rec go attempt =
    match once attempt with
    | result -> result
    | exception Refused failure -> (
        match next_attempt t attempt failure with
        | Some seconds ->
            Soil.Clock.sleep seconds;
            go (attempt + 1)
        | None -> Soil_backtrace.raise (Status.Failed failure.status))
  in
  in_time options (fun () -> go 0)

(* Calls *)

(* [f reader]; messages are the caller's then. *)
let reading options m response f =
  let r = reader options m response in
  Fun.protect ~finally:(fun () -> Message.release r) (fun () -> f r)

let options metadata timeout compress on_head on_trailers t m =
  {
    client = t;
    path = Method.path m;
    fields = Metadata.to_fields (t.metadata @ metadata);
    deadline = deadline_of timeout;
    encoding = (if compress then List.nth_opt t.encodings 0 else None);
    on_head;
    on_trailers;
  }

let unary ?(metadata = []) ?timeout ?(compress = false) ?(on_head = ignore) ?(on_trailers = ignore)
    t (m : _ Method.t) request =
  let options = options metadata timeout compress on_head on_trailers t m in
  with_response options (m.request.encode request) (fun r ->
      reading options m (fun () -> r) Message.only)

let server_stream ?(metadata = []) ?timeout ?(compress = false) ?(on_head = ignore)
    ?(on_trailers = ignore) t (m : _ Method.t) request f =
  let options = options metadata timeout compress on_head on_trailers t m in
  with_response options (m.request.encode request) (fun r -> reading options m (fun () -> r) f)

type 'req sender = { encode : 'req -> string; with_ : Encoding.t option; queue : string Queue.t }

let send ?(compress = true) s v =
  let encoding = if compress then s.with_ else None in
  Soil.Budget.scratch @@ fun hold ->
  try Queue.push s.queue (Message.frame ?encoding ~hold (s.encode v))
  with Soil.Error { code = Closed; _ } ->
    (* A task that goes on sending lets the others run, and can be cancelled. *)
    Soil.Task.yield ()

let finish s = Queue.close s.queue

(* [f sender opened] during a call whose requests are a stream; [opened ()] waits for the response.
   *)
let streaming options (m : _ Method.t) f =
  in_time options @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let queue = Queue.create 0 and opened = Promise.create () in
  let write sink =
    (* Nothing takes what comes later. *)
    Fun.protect
      ~finally:(fun () -> Queue.close queue)
      (fun () -> Queue.iter (D.write_string sink) queue)
  in
  let start () =
    match open_ scope options ~attempt:0 (Http.Stream (None, write)) with
    | r ->
        if Option.is_some !(r.ending) then Queue.close queue;
        Promise.fulfil opened (Ok r)
    | exception (Status.Failed status | Refused { status; _ } : exn) ->
        Queue.close queue;
        Promise.fulfil opened (Error status)
  in
  ignore (Soil.Task.spawn_daemon scope start);
  let response () =
    match Promise.await opened with
    | Ok r -> r
    | Error status -> Soil_backtrace.raise (Status.Failed status)
  in
  f { encode = m.request.encode; with_ = options.encoding; queue } response

let client_stream ?(metadata = []) ?timeout ?(compress = false) ?(on_head = ignore)
    ?(on_trailers = ignore) t (m : _ Method.t) f =
  let options = options metadata timeout compress on_head on_trailers t m in
  streaming options m @@ fun sender response ->
  f (fun v -> send sender v);
  finish sender;
  reading options m response Message.only

let two_way ?(metadata = []) ?timeout ?(compress = false) ?(on_head = ignore)
    ?(on_trailers = ignore) t (m : _ Method.t) f =
  let options = options metadata timeout compress on_head on_trailers t m in
  (* [f] may send before there is a response. *)
  streaming options m @@ fun sender response -> reading options m response (f sender)
