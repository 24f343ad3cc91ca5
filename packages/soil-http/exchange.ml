(** One exchange of a client on a pooled connection, without redirects. Private to [soil-http];
    {!Client} documents what it offers of this. *)

module D = Soil.File_descriptor
module H = Cohttp.Header

type limits = Limits.t

let default_limits : limits =
  {
    line_bytes = 16384;
    head_bytes = 65536;
    fields = 200;
    body_bytes = 1 lsl 24;
    head_seconds = 60.;
    body_seconds = 60.;
    body_rate = 500;
    write_seconds = 30.;
    idle_seconds = 15.;
    (* A response that is read slowly delays no other one. *)
    http2 = { Head.default_http2 with window_bytes = 100 lsl 18 };
  }

type body = Empty | String of string | Stream of int option * (Soil.Flow.sink -> unit)

type problem =
  | Malformed
  | Truncated
  | Too_large
  | Too_slow
  | Too_many_redirects
  | Insecure_redirect
  | Not_supported
  | Not_upgraded of Cohttp.Code.status_code

exception Failed of Uri.t * problem

let problem_to_string = function
  | Malformed -> "the response isn't HTTP"
  | Truncated -> "the connection ended before the body"
  | Too_large -> "the head, the body or the trailers are larger than allowed"
  | Too_slow -> "the server is too slow"
  | Too_many_redirects -> "too many redirects"
  | Insecure_redirect -> "a redirect from https to http"
  | Not_supported -> "not a URI with a host and http, or https with TLS (Client.create ~tls)"
  | Not_upgraded status -> "the server doesn't change the protocol: " ^ Status.to_string status

(* The pool *)

(* A stream of HTTP/2, for one request. Heads are the texts of HTTP/1.1. *)
type stream = {
  send_head : string -> last:bool -> unit;
  send_piece : string -> int -> int -> unit;  (** The end comes with the last one. *)
  send_end : unit -> unit;
  next_head : unit -> Head.response;  (** Waits for it. Raises {!Not_seen} or {!Nothing_came}. *)
  trailers : unit -> H.t;  (** Waits for the end of the response. *)
  suspect : unit -> unit;
      (** Ends the connection if nothing has come of it since the stream was opened. *)
  release : unit -> unit;  (** Gives up the rest of it. *)
}
(** The type for streams of HTTP/2, each for one request. Heads are texts of HTTP/1.1. *)

type wire = Version_1 | Version_2 of stream

type conn = {
  input : Input.t;
  output : Output.t;
  wire : wire;
  mutable since : float; (* Unused since. *)
}

exception Nothing_came
(** The server has ended the connection before it sent anything. *)

exception Not_seen
(** The server has refused the request without handling it (RFC 9113 §8.7). *)

exception No_upgrade
(** The server has no upgrades in HTTP/2 (RFC 8441). *)

type session = {
  has_room : unit -> bool;  (** For another stream. *)
  is_over : unit -> bool;
  is_used : unit -> bool;
  check : unit -> unit;  (** Handles what has come while it was idle. Doesn't wait. *)
  open_stream : meth:Cohttp.Code.meth -> conn;
  close : unit -> unit;
  mutable unused_since : float;
}
(** The type for connections of HTTP/2, which requests share. *)

type http2 = {
  speaks : scheme:string -> D.flow -> bool;  (** Whether it does on this new connection. *)
  start : Limits.t -> scheme:string -> D.flow -> session;
}
(** The type for HTTP/2 in a client: a value, so that only programs that ask for it link it. *)

(* Where a connection leads to. *)
type origin = { scheme : string; host : string; port : int }
(** The type for where a connection leads to. *)

type place = {
  room : Soil.Task.Semaphore.t;
  mutable unused : conn list; (* The one used last comes first. *)
  mutable sessions : session list;
  mutable has_sessions : bool; (* As far as is known. *)
  mutable connecting : unit Soil.Task.Promise.t option; (* To what may become a session. *)
  changed : Soil.Task.Condition.t; (* A session has room, or its connection was opened. *)
  mutable users : int;
}

type t = {
  limits : limits;
  connect_seconds : float;
  max_connections : int;
  max_redirects : int;
  connect : host:string -> port:int -> D.flow;
  tls : (host:string -> D.flow -> D.flow) option;
  http2 : http2 option;
  places : (origin, place) Hashtbl.t;
  mutable last : (origin * place) option; (* Of the last request, while it is in [places]. *)
  mutable opened : int;
  mutable swept : float; (* When old connections were closed. *)
}

let connect_host ~host ~port = (Soil.Tcp.connect_host host ~port :> D.flow)

let create ?(limits = default_limits) ?(connect_seconds = 30.) ?(max_connections = 16) ?(max_redirects = 10)
    ?connect ?tls ?http2 () =
  let connect =
    match connect with
    | None -> connect_host
    | Some connect -> fun ~host ~port -> (connect ~host ~port :> D.flow)
  in
  let tls = Option.map (fun tls ~host flow -> (tls ~host flow :> D.flow)) tls in
  if max_connections < 1 then invalid_arg "Soil_http.Client.create: max_connections is less than 1";
  {
    limits; connect_seconds; max_connections; max_redirects; connect; tls; http2; places = Hashtbl.create 8; last = None; opened = 0;
    swept = 0.;
  }
[@@ocamlformat "disable"]

let opened t = t.opened

(* Whether the request has a connection of its own. *)
let is_alone conn = match conn.wire with Version_1 -> true | Version_2 _ -> false
let unused_sessions place = List.filter (fun s -> not (s.is_used ())) place.sessions

let idle t =
  let add _ place n = n + List.length place.unused + List.length (unused_sessions place) in
  Hashtbl.fold add t.places 0

let drop conn =
  match conn.wire with
  | Version_1 -> D.close (Input.flow conn.input)
  | Version_2 stream -> stream.release ()

let remove_place t origin =
  t.last <- None;
  Hashtbl.remove t.places origin

let sweep t keep =
  let places = Hashtbl.fold (fun origin place l -> (origin, place) :: l) t.places [] in
  List.iter
    (fun (origin, place) ->
      let kept, old = List.partition (fun conn -> keep conn.since) place.unused in
      place.unused <- kept;
      List.iter drop old;
      let kept_sessions, old =
        List.partition (fun s -> s.is_used () || keep s.unused_since) place.sessions
      in
      place.sessions <- kept_sessions;
      List.iter (fun s -> s.close ()) old;
      if kept = [] && kept_sessions = [] && place.users = 0 then remove_place t origin)
    places

let close t = sweep t (fun _ -> false)

let own scope t =
  Soil.Task.on_release scope (fun () -> close t);
  t

let forget_old t =
  let now = Soil.Clock.monotonic () in
  (* Not at each request: that visits all connections. *)
  if now -. t.swept >= t.limits.idle_seconds /. 8. then (
    t.swept <- now;
    sweep t (fun since -> now -. since < t.limits.idle_seconds))

let find_place t origin =
  match Hashtbl.find_opt t.places origin with
  | Some place -> place
  | None ->
      let room = Soil.Task.Semaphore.create t.max_connections in
      let changed = Soil.Task.Condition.create () in
      let has_sessions = Option.is_some t.http2 in
      let place =
        { room; unused = []; sessions = []; has_sessions; connecting = None; changed; users = 0 }
      in
      Hashtbl.replace t.places origin place;
      place

let place_of t origin =
  match t.last with
  | Some (last, place) when last == origin -> place
  | Some _ | None ->
      let place = find_place t origin in
      t.last <- Some (origin, place);
      place

(* The flow of a new connection. *)
let open_flow t uri origin =
  let connect () =
    let flow = t.connect ~host:origin.host ~port:origin.port in
    match (origin.scheme, t.tls) with "https", Some tls -> tls ~host:origin.host flow | _ -> flow
  in
  match Soil.Task.timeout_opt t.connect_seconds connect with
  | None -> Soil_backtrace.raise (Failed (uri, Too_slow))
  | Some flow ->
      t.opened <- t.opened + 1;
      flow

let connection t flow =
  let input = Input.create flow in
  let output = Output.create input ~seconds:t.limits.write_seconds in
  { input; output; wire = Version_1; since = 0. }

(* Whether the server has kept an unused connection open: there is nothing to read, not even the end.
   *)
let is_alive conn =
  match Soil.Private.would_wait (Input.flow conn.input) with
  | Some waits -> waits && Input.buffered conn.input = 0
  | None ->
      (* The time of the response before counts no longer. *)
      Input.until conn.input infinity;
      Soil.Task.timeout_opt 0. (fun () -> Input.more conn.input) = None

let rec unused_connection place =
  match place.unused with
  | [] -> None
  | conn :: rest -> (
      place.unused <- rest;
      match is_alive conn with
      | true -> Some conn
      | false ->
          drop conn;
          unused_connection place
      | exception _ ->
          drop conn;
          Soil.Task.check ();
          unused_connection place)

(* Requests *)

(** [origin_of t uri] raises {!Failed} with [Not_supported] if [t] can't connect to [uri]. *)
let origin_of t uri =
  let scheme = String.lowercase_ascii (Option.value (Uri.scheme uri) ~default:"") in
  let bare host =
    let n = String.length host in
    if n > 2 && host.[0] = '[' then String.sub host 1 (n - 2) else host
  in
  match (scheme, Uri.host uri) with
  | ("http" | "https"), Some host when host <> "" && (scheme = "http" || t.tls <> None) ->
      let default = if scheme = "http" then 80 else 443 in
      let port = Option.value (Uri.port uri) ~default in
      { scheme; host = String.lowercase_ascii (bare host); port }
  | _ -> Soil_backtrace.raise (Failed (uri, Not_supported))

(** [host_field o] is the value of the field [Host]. *)
let host_field origin =
  let host = if String.contains origin.host ':' then "[" ^ origin.host ^ "]" else origin.host in
  let default = if origin.scheme = "http" then 80 else 443 in
  if origin.port = default then host else host ^ ":" ^ string_of_int origin.port

let has_length = function `POST | `PUT | `PATCH -> true | _ -> false

let framing = function
  | Empty -> Head.Length 0
  | String s -> Length (String.length s)
  | Stream (Some n, _) -> Length n
  | Stream (None, _) -> Chunked

(** [framing_fields meth body] is the fields about the length of the body. *)
let framing_fields meth body =
  match (body, framing body) with
  | Empty, _ when not (has_length meth) -> []
  | _, Head.Length n -> [ ("content-length", string_of_int n) ]
  | _ -> [ ("transfer-encoding", "chunked") ]

let failed uri = function
  | Head.Refused `Request_timeout -> Failed (uri, Too_slow)
  | Head.Refused (`Request_entity_too_large | `Request_header_fields_too_large)
  | Soil.Error { code = Too_large; _ } ->
      Failed (uri, Too_large)
  | Head.Refused _ -> Failed (uri, Malformed)
  | Input.Late | Soil.Task.Timeout _ -> Failed (uri, Too_slow)
  | No_upgrade -> Failed (uri, Not_supported)
  | e -> e

(* Interim responses come before (RFC 9110 §15.2); the change of protocol is final. *)
let rec response_head t conn meth ~on_interim =
  let head =
    match conn.wire with
    | Version_1 -> Head.response conn.input t.limits ~meth
    | Version_2 stream -> stream.next_head ()
  in
  if head.status < 200 && head.status <> 101 then (
    on_interim head;
    response_head t conn meth ~on_interim)
  else head

(* Sent at once, without a task. *)
let small = 16384

type sending = {
  mutable is_sent : bool;
  mutable mistake : exn option;
  mutable task : unit Soil.Task.t option;
}

(* Waits for the first byte. The time begins again as long as the server takes the request. *)
let rec wait_for_first conn sending ~seconds =
  let sent = Output.sent conn.output in
  Input.within conn.input seconds;
  match Input.buffered conn.input > 0 || Input.more conn.input with
  | has_come -> has_come
  | exception Input.Late when (not sending.is_sent) && Output.sent conn.output > sent ->
      wait_for_first conn sending ~seconds

(* Likewise the head on a stream. *)
let rec timed_head t conn stream meth sending ~seconds ~on_interim =
  let sent = Output.sent conn.output in
  let head () = response_head t conn meth ~on_interim in
  match Soil.Task.timeout_opt seconds head with
  | Some head -> head
  | None when (not sending.is_sent) && Output.sent conn.output > sent ->
      timed_head t conn stream meth sending ~seconds ~on_interim
  | None ->
      stream.suspect ();
      Soil_backtrace.raise Input.Late

let first_head t conn uri meth sending ~seconds ~on_interim =
  match
    match conn.wire with
    | Version_2 stream -> timed_head t conn stream meth sending ~seconds ~on_interim
    | Version_1 ->
        if not (wait_for_first conn sending ~seconds) then raise Nothing_came;
        response_head t conn meth ~on_interim
  with
  | head -> head
  | exception ((Nothing_came | Not_seen) as e) -> raise e
  | exception Soil.Error { code = Connection_reset | Broken_pipe; _ }
    when is_alone conn && Input.buffered conn.input = 0 ->
      raise Nothing_came
  | exception e -> Soil_backtrace.(reraise (failed uri e) (get ()))

(* In a task of its own, unless it is short: the server may answer before it has read all. *)
let send scope conn uri ~patient ~head body =
  let sending = { is_sent = false; mistake = None; task = None } in
  let send_head ~last =
    match conn.wire with
    | Version_1 -> Output.strings conn.output [ head ]
    | Version_2 stream -> Input.guard conn.input (fun () -> stream.send_head head ~last)
  in
  let send_text s =
    match conn.wire with
    | Version_1 -> Output.string conn.output ~head s
    | Version_2 stream ->
        send_head ~last:(s = "");
        if s <> "" then Output.by_pieces conn.output (String.length s) (stream.send_piece s)
  in
  let stream write =
    send_head ~last:false;
    let framing =
      match (conn.wire, framing body) with
      | Version_2 _, Chunked -> Head.To_end
      | _, framing -> framing
    in
    let sink, finish = Output.body conn.output ~framing in
    write sink;
    finish [];
    match conn.wire with
    | Version_1 -> ()
    | Version_2 stream -> Input.guard conn.input stream.send_end
  in
  let in_task send =
    let run () =
      match send () with
      | () -> sending.is_sent <- true
      | exception e ->
          Soil.Task.check ();
          (* Where the connection has failed there may be a response all the same. But a server that
             took nothing for too long waits for what comes no more, and a patient client for it. *)
          let ends = patient || not (is_alone conn) in
          let is_late = match e with Soil.Task.Timeout _ -> ends | _ -> false in
          if is_late || not (Input.is_failure conn.input e) then (
            sending.mistake <- Some (if is_late then failed uri e else e);
            drop conn)
    in
    sending.task <- Some (Soil.Task.spawn_daemon scope run)
  in
  (match body with
  | Empty ->
      send_head ~last:true;
      sending.is_sent <- true
  | String s when String.length s <= small ->
      send_text s;
      sending.is_sent <- true
  | String s -> in_task (fun () -> send_text s)
  | Stream (_, write) -> in_task (fun () -> stream write));
  sending

let cohttp_response (head : Head.response) =
  let encoding =
    match head.framing with
    | Length n -> Cohttp.Transfer.Fixed (Int64.of_int n)
    | Chunked -> Chunked
    | To_end -> Unknown
  in
  Message.response (head.version, Cohttp.Code.status_of_code head.status) head.headers encoding

let make_body t conn uri (head : Head.response) ~on_trailers =
  Body.make ~truncated:(Failed (uri, Truncated)) ~on_trailers conn.input head.framing t.limits

let discard_seconds = 0.25

(* What isn't wanted is waited for only so long that a connection is worth it. *)

(** [is_at_end body] reads the rest of [body] if it is short and comes soon, and is [true] iff that
    was all. *)
let is_at_end body =
  Body.is_over body
  || Body.can_discard body
     && Soil.Task.timeout_opt discard_seconds (fun () -> Body.discard body) = Some true

(* A response whose connection is in use. *)
type exchange = {
  limits : Limits.t;
  uri : Uri.t;  (** For {!Failed}. *)
  place : place;
  leave : unit -> unit;  (** Returns its place to other requests. *)
  conn : conn;
  sending : sending;
  head : Head.response;
  content : Body.t;
  on_trailers : H.t -> unit;
  payer : Soil.Budget.t option;  (** Whose request this one is for. *)
  mutable is_finished : bool;
  held : exchange option ref;
}
(** The type for a response whose connection is in use until {!finish}. *)

let forget_user t origin place =
  place.users <- place.users - 1;
  if place.users = 0 && List.is_empty place.unused && List.is_empty place.sessions then
    remove_place t origin

let enter t origin =
  forget_old t;
  let place = place_of t origin in
  place.users <- place.users + 1;
  place

(* What the connection holds is no longer counted, nor a head of [size] bytes. *)
let forget_payer conn payer size =
  Option.iter (fun payer -> Soil.Budget.shrink payer size) payer;
  Input.charge conn.input None

(* Gives the connection to the next request, if [at_end ()] and nothing else is in the way. *)

(** [finish x at_end] returns the connection to the pool if the whole response was read, as
    [at_end ()] says, which may wait; otherwise it closes the connection. Does nothing if [x] has
    been finished. *)
let finish x at_end =
  if not x.is_finished then (
    x.is_finished <- true;
    x.held := None;
    let is_kept =
      is_alone x.conn && x.sending.is_sent && x.head.persistent && x.head.status <> 101
      (* What is behind the response would be taken for the next one. *)
      && (try at_end () with _ -> false)
      && Input.buffered x.conn.input = 0
    in
    Option.iter Soil.Task.cancel x.sending.task;
    forget_payer x.conn x.payer x.head.size;
    if is_kept then (
      x.conn.since <- Soil.Clock.monotonic ();
      x.place.unused <- x.conn :: x.place.unused)
    else drop x.conn;
    x.leave ())

(** [abandon x] finishes [x] by closing its connection. *)
let abandon x = finish x (fun () -> false)

(** [mistake s e] is the exception of the function that wrote the request's body, or [e]. *)
let mistake sending e = match sending.mistake with Some m -> m | None -> e

(* The body, whose end gives the connection back. *)

(* The fields behind a body with a length may come later. *)
let end_of_stream x =
  match x.conn.wire with
  | Version_1 -> ()
  | Version_2 stream ->
      let trailers = Soil.Task.timeout x.limits.body_seconds stream.trailers in
      if not (H.is_empty trailers) then x.on_trailers trailers

let read_by take x b off len =
  if x.is_finished && not (Body.is_over x.content) then
    Soil.Error.fail Closed "read" ~subject:"body" ~detail:"its scope has ended";
  match
    let n = Body.read_by take x.content b off len in
    if Body.is_over x.content && not x.is_finished then end_of_stream x;
    n
  with
  | n ->
      if Body.is_over x.content then finish x (fun () -> true);
      n
  | exception e ->
      let backtrace = Soil_backtrace.get () in
      Soil_backtrace.reraise (mistake x.sending (failed x.uri e)) backtrace

(** [read x b off len] is like {!Soil.File_descriptor.read}, of the body. Its end finishes the
    exchange. *)
let read x b off len = read_by Input.read x b off len

(** [source x] is the flow that reads by {!read}. *)
let source x =
  Soil.Flow.source ~name:"body"
    ~read_into:(fun b off len -> read_by Input.read_into x b off len)
    ~close:(fun () -> abandon x)
    (read x)

(* Sends the request on [conn], and waits for the head of the response. *)
let exchange scope (t : t) place conn uri ~leave ~head meth body ~patient ~on_interim ~on_trailers =
  let sending =
    match send scope conn uri ~patient ~head body with
    | sending -> sending
    | exception Soil.Error { code = Connection_reset | Broken_pipe | Not_connected; _ } ->
        (* The response may have come before the server closed. *)
        { is_sent = false; mistake = None; task = None }
    | exception e -> Soil_backtrace.(reraise (failed uri e) (get ()))
  in
  let seconds = if patient then infinity else t.limits.head_seconds in
  let payer = Soil.Budget.current () in
  Input.charge conn.input payer;
  let counted_head () =
    let head = first_head t conn uri meth sending ~seconds ~on_interim in
    Option.iter (fun payer -> Soil.Budget.count payer head.size) payer;
    head
  in
  match counted_head () with
  | head ->
      let content = make_body t conn uri head ~on_trailers in
      if patient then Body.set_pace content Patient;
      let held = ref None in
      let x =
        {
          limits = t.limits;
          uri;
          place;
          leave;
          conn;
          sending;
          head;
          content;
          on_trailers;
          payer;
          is_finished = false;
          held;
        }
      in
      held := Some x;
      x
  | exception e ->
      let backtrace = Soil_backtrace.get () in
      Option.iter Soil.Task.cancel sending.task;
      forget_payer conn payer 0;
      Soil_backtrace.reraise (mistake sending e) backtrace

(** [is_idempotent m] is [true] iff a request with [m] may be repeated (RFC 9110 §9.2.2). *)
let is_idempotent = function
  | `GET | `HEAD | `PUT | `DELETE | `OPTIONS | `TRACE -> true
  | _ -> false

let is_stream = function Stream _ -> true | Empty | String _ -> false

(* What a request has of its place. *)
type connected =
  | Shared of session
  | Alone of conn option  (** A connection of HTTP/1.1, which may be open already. *)

let is_usable s =
  (if not (s.is_used ()) then try s.check () with Soil.Error _ -> s.close ());
  (not (s.is_over ())) && s.has_room ()

(* An idle session also has no room if its server allows no streams, which would last. *)
let drop_useless place =
  let is_useless s = (not (s.is_used ())) && (s.is_over () || not (s.has_room ())) in
  let useless, others = List.partition is_useless place.sessions in
  place.sessions <- others;
  List.iter (fun s -> s.close ()) useless

(* Requests that come meanwhile wait for the connection, or fail as it does. *)
let connect_for_all place connect =
  let connected = Soil.Task.Promise.create () in
  place.connecting <- Some connected;
  match connect () with
  | result ->
      place.connecting <- None;
      Soil.Task.Promise.fulfil connected ();
      result
  | exception e ->
      let backtrace = Soil_backtrace.get () in
      place.connecting <- None;
      (match e with
      | Soil.Task.Cancelled -> Soil.Task.Promise.fulfil connected ()
      | e -> Soil.Task.Promise.break connected e);
      Soil_backtrace.reraise e backtrace

let rec session t place uri origin =
  match t.http2 with
  | Some http2 when place.has_sessions -> (
      let usable = List.find_opt is_usable place.sessions in
      match (usable, place.connecting) with
      | Some s, _ -> Shared s
      | None, Some connected ->
          Soil.Task.Promise.await connected;
          session t place uri origin
      | None, None ->
          drop_useless place;
          let current = List.filter (fun s -> not (s.is_over ())) place.sessions in
          if List.length current >= t.max_connections then (
            Soil.Task.Condition.wait_no_mutex place.changed;
            session t place uri origin)
          else
            connect_for_all place (fun () ->
                let flow = open_flow t uri origin in
                if http2.speaks ~scheme:origin.scheme flow then (
                  let s = http2.start t.limits ~scheme:origin.scheme flow in
                  place.sessions <- s :: place.sessions;
                  Shared s)
                else (
                  place.has_sessions <- false;
                  Alone (Some (connection t flow)))))
  | Some _ | None -> Alone None

(** [once scope t origin uri ~head meth body] sends the text [head] and [body], and waits for the
    head of the response. [scope] finishes it. [fresh] (default: [false]) uses no idle connection,
    [patient] (default: [false]) has no limit of time for the head and the body. [on_connected ()]
    is called before anything is sent, [on_interim] with the head of each interim response,
    [on_trailers] with the fields after the body. Raises as {!Client.request}. *)
let once ?(fresh = false) ?(patient = false) ?(on_connected = ignore) ?(on_interim = ignore)
    ?(on_trailers = ignore) scope t origin uri ~head meth body =
  let place = enter t origin in
  let forget () = forget_user t origin place in
  let may_repeat = match body with Stream _ -> false | Empty | String _ -> is_idempotent meth in
  let truncated () = Soil_backtrace.raise (Failed (uri, Truncated)) in
  let on conn ~leave =
    on_connected ();
    Soil.Private.undoing
      (fun () -> drop conn)
      (fun () ->
        exchange scope t place conn uri ~leave ~head meth body ~patient ~on_interim ~on_trailers)
  in
  (* On a connection that this request has alone. [first] is one that is new. *)
  let on_connection first =
    let give_back () = Soil.Task.Semaphore.release place.room in
    let leave () =
      give_back ();
      forget ()
    in
    let on_new conn = try on conn ~leave with Nothing_came -> truncated () in
    let new_connection () = connection t (open_flow t uri origin) in
    match first with
    | Some conn -> on_new conn
    | None -> (
        match if fresh then None else unused_connection place with
        | None -> on_new (new_connection ())
        | Some conn -> (
            try on conn ~leave
            with Nothing_came -> if may_repeat then on_new (new_connection ()) else truncated ()))
  in
  let with_room first =
    Soil.Task.Semaphore.acquire place.room;
    Soil.Private.undoing
      (fun () -> Soil.Task.Semaphore.release place.room)
      (fun () -> on_connection first)
  in
  let rec on_session left =
    match session t place uri origin with
    | Alone first -> with_room first
    | Shared s -> (
        let has_room () =
          s.unused_since <- Soil.Clock.monotonic ();
          Soil.Task.Condition.broadcast place.changed
        in
        let leave () =
          has_room ();
          forget ()
        in
        match Soil.Private.undoing has_room (fun () -> on (s.open_stream ~meth) ~leave) with
        | x -> x
        | exception Not_seen when left > 0 && not (is_stream body) -> on_session (left - 1)
        | exception Nothing_came when left > 0 && may_repeat -> on_session (left - 1)
        | exception (Not_seen | Nothing_came) -> truncated ())
  in
  let start () = if place.has_sessions then on_session 2 else with_room None in
  let x = Soil.Private.undoing forget start in
  let held = x.held in
  Soil.Task.on_release scope (fun () -> Option.iter abandon !held);
  x
