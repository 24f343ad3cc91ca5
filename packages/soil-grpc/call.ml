(* One call of a server: what it knows, and how its response is sent. Private to [soil-grpc]. *)

module D = Soil.File_descriptor
module H = Cohttp.Header
module Http = Soil_http.Server
module Promise = Soil.Task.Promise

(** How messages and status are in a body. *)
type form =
  | Plain  (** The status comes after the body. *)
  | Web  (** It is the last frame of the body. *)
  | Web_text  (** Likewise, and the body is base64. *)

type t = {
  request : Http.request;
  form : form;
  path : string;
  metadata : Metadata.t;
  deadline : float;  (** Of {!Soil.Clock.monotonic}; [infinity] without one. *)
  started : float;
  max_message : int;
  own : Encoding.t list;
  received : Encoding.t option;  (** Of the request's messages. *)
  sent : Encoding.t option;  (** Of the response's, where they are compressed. *)
  mutable compresses : bool;
  mutable headers : (string * string) list;
  mutable trailers : (string * string) list;
  mutable is_begun : bool;
  mutable begin_ : unit -> unit;  (** Sends the head, if it wasn't sent. *)
  mutable was_compressed : unit -> bool;
  mutable broken : (exn * Printexc.raw_backtrace) option;  (** The connection has failed. *)
  observe : t -> Status.t -> float -> unit;
  on_exception : t -> exn -> Printexc.raw_backtrace -> unit;
}

(* The form of a request, by its media type. *)
let form_of ~web request =
  match Soil_http.Media_type.of_request request with
  | None -> None
  | Some { name; _ } -> (
      match name with
      | "application/grpc" | "application/grpc+proto" -> Some Plain
      | ("application/grpc-web" | "application/grpc-web+proto") when web -> Some Web
      | ("application/grpc-web-text" | "application/grpc-web-text+proto") when web -> Some Web_text
      | _ -> None)

let content_type = function
  | Plain -> "application/grpc"
  | Web -> "application/grpc-web+proto"
  | Web_text -> "application/grpc-web-text+proto"

(* Exceptions *)

(* Whether [e] is the cancellation of this task, and not of another for which the handler waited. *)
let is_cancelled = function
  | Soil.Task.Cancelled -> (
      match Soil.Task.check () with () -> false | exception Soil.Task.Cancelled -> true)
  | _ -> false

(* [f ()], which uses the connection: its exception is HTTP's to handle, whatever the handler makes
   of it. *)
let guard t f =
  try f () with
  | (Status.Failed _ | Soil.Task.Cancelled) as e -> raise e
  | e ->
      let backtrace = Soil_backtrace.get () in
      t.broken <- Some (e, backtrace);
      Soil_backtrace.reraise e backtrace

(** How a handler has ended. *)
type outcome = Ended of Status.t | Broken of exn * Printexc.raw_backtrace

let late = Status.v Deadline_exceeded "the deadline has passed"
let busy = Status.v Resource_exhausted "no memory"

let of_exception t e =
  let backtrace = Soil_backtrace.get () in
  Soil.Private.recover e;
  match e with
  | Status.Failed { code = OK; _ } -> Status.v Unknown ""
  | Status.Failed s -> s
  | e when Soil.Budget.is_refusal e -> busy
  | Out_of_memory ->
      t.on_exception t e backtrace;
      busy
  | e ->
      t.on_exception t e backtrace;
      Status.v Unknown ""

let in_time t f =
  if t.deadline = infinity then Some (f ())
  else
    let left = t.deadline -. Soil.Clock.monotonic () in
    if left <= 0. then None
    else Soil.Task.Local.with_ Deadline.key t.deadline (fun () -> Soil.Task.timeout_opt left f)

let ended t status =
  try t.observe t status (Soil.Clock.monotonic () -. t.started)
  with e when not (is_cancelled e) -> t.on_exception t e (Soil_backtrace.get ())

let cancelled = Status.v Cancelled "the client has left"

(** [outcome t f] is how the handler [f] ends. *)
let outcome t f =
  let result =
    match in_time t f with
    | Some () -> Ended Status.ok
    | None -> Ended late
    | exception e when is_cancelled e ->
        let backtrace = Soil_backtrace.get () in
        ended t cancelled;
        Soil_backtrace.reraise e backtrace
    | exception e -> (
        match t.broken with Some _ -> Ended cancelled | None -> Ended (of_exception t e))
  in
  match (t.broken, result) with
  | Some (e, backtrace), _ ->
      ended t cancelled;
      Broken (e, backtrace)
  | None, Ended status ->
      ended t status;
      result
  | None, Broken _ -> result

(* Messages *)

let refused (code : Cohttp.Code.status_code) =
  match code with
  | `Request_timeout -> Status.v Deadline_exceeded "the request comes too slowly"
  | `Request_entity_too_large -> Status.v Resource_exhausted "the request is too long"
  | _ -> Status.v Internal "the request is malformed or incomplete"

let body t ~patient =
  let source = Http.body ~max:max_int ~patient t.request in
  let read b off len =
    guard t @@ fun () ->
    match D.read source b off len with
    | n -> n
    | exception Http.Refused code -> Soil_backtrace.raise (Status.Failed (refused code))
  in
  let source = Soil.Flow.source ~name:"grpc" read in
  match t.form with
  | Plain | Web -> source
  | Web_text ->
      Soil.Budget.hold Web.source_bytes;
      Web.source source

(** [reader t decode ~patient] reads the request's messages, which may come as slowly as the client
    likes if [patient]. *)
let reader t decode ~patient =
  let encoding () = t.received in
  let r = Message.reader ~encoding ~max:t.max_message decode (body t ~patient) in
  t.was_compressed <- (fun () -> Message.was_compressed r);
  r

let text t s = match t.form with Plain | Web -> s | Web_text -> Web.encode s

(** [frame t ~hold message] is [message] as it is sent; [hold n] is called before [n] bytes of it
    are made. *)
let frame t ~hold message =
  let encoding = if t.compresses then t.sent else None in
  let frame = Message.frame ?encoding ~hold message in
  if t.form = Web_text then hold ((String.length frame / 3) + 4);
  text t frame

(* Responses *)

let accepted t = String.concat "," (List.map Encoding.name t.own)

let head t =
  let named name = Option.fold ~none:[] ~some:(fun v -> [ (name, v) ]) in
  H.of_list
    ([ ("content-type", content_type t.form) ]
    @ named "grpc-encoding" (Option.map Encoding.name t.sent)
    @ (if t.own = [] then [] else [ ("grpc-accept-encoding", accepted t) ])
    @ t.headers)

let trailers t status = Trailer.to_fields status @ t.trailers
let web_end t status = text t (Message.trailer_frame (trailers t status))

(** [only_status t status] is the response without a message. *)
let only_status t status =
  match t.form with
  | Plain -> Http.string ~headers:(H.add_list (head t) (trailers t status)) ""
  | Web | Web_text -> Http.string ~headers:(head t) (web_end t status)

(** [whole t frame] is the response with one message. *)
let whole t frame =
  match t.form with
  | Plain ->
      let trailers () = H.of_list (trailers t Status.ok) in
      Http.stream ~headers:(head t) ~trailers (fun sink -> D.write_string sink frame)
  | Web | Web_text ->
      let text = frame ^ web_end t Status.ok in
      (* The server counts it. *)
      Soil.Budget.give_back (String.length frame);
      Http.string ~headers:(head t) text

(* What the task of a handler takes beside its request's, by measurement. *)
let task_bytes = 1024

(** [streamed t f] is the response whose messages [f send] sends. [f] runs in a task of its own,
    which begins now; the head is sent with the first message. *)
let streamed t f =
  let first = Promise.create () and opened = Promise.create () in
  t.begin_ <-
    (fun () ->
      if not t.is_begun then (
        t.is_begun <- true;
        Promise.fulfil first None));
  let send message =
    Soil.Budget.scratch @@ fun hold ->
    let frame = frame t ~hold message in
    t.begin_ ();
    let sink = Promise.await opened in
    guard t (fun () -> D.write_string sink frame)
  in
  let run () =
    let outcome = outcome t (fun () -> f send) in
    if not t.is_begun then Promise.fulfil first (Some outcome);
    outcome
  in
  Soil.Budget.hold task_bytes;
  (* Not waited for if nothing asks for the body. *)
  let task = Soil.Task.spawn_daemon (Http.scope t.request) run in
  let final = function
    | Ended status -> status
    | Broken (e, backtrace) -> Soil_backtrace.reraise e backtrace
  in
  match Promise.await first with
  | Some outcome -> only_status t (final outcome)
  | None ->
      let status = ref Status.ok in
      let write sink =
        Promise.fulfil opened sink;
        status := final (Soil.Task.await task);
        if t.form <> Plain then D.write_string sink (web_end t !status)
      in
      let trailers () = if t.form = Plain then H.of_list (trailers t !status) else H.init () in
      Http.stream ~headers:(head t) ~trailers write
