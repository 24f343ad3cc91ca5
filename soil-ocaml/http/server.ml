module D = Soil.File_descriptor
module H = Cohttp.Header
module Budget = Soil.Budget

exception Refused = Head.Refused

type limits = Limits.t

let default_limits : limits =
  {
    line_bytes = 8192;
    head_bytes = 16384;
    fields = 100;
    body_bytes = 1 lsl 20;
    idle_seconds = 30.;
    head_seconds = 10.;
    body_seconds = 20.;
    body_rate = 500;
    write_seconds = 30.;
  }

type entry = {
  peer : string;
  endpoint : Soil.Net.Endpoint.t option;
  request : Cohttp.Request.t option;
  route : string option;
  id : string option;
  status : Cohttp.Code.status_code;
  bytes : int;
  body_bytes : int;
  started : float;
  seconds : float;
}

let request_line e =
  match e.request with
  | None -> "-"
  | Some r ->
      String.concat " "
        [ Cohttp.Code.string_of_method r.meth; r.resource; Cohttp.Code.string_of_version r.version ]

let entry_to_string e =
  Printf.sprintf "%s %s %S %d %d bytes %.1f ms" (Date.to_rfc_3339 e.started) e.peer (request_line e)
    (Cohttp.Code.code_of_status e.status)
    e.bytes (e.seconds *. 1e3)

(* A value of a request, by its key. *)
type binding = Binding : 'a Type.Id.t * 'a -> binding

(* What the connections of a listener share. *)
type server = {
  limits : limits;
  log : (entry -> unit) option;
  on_refusal : (error -> Response.t) option;
  is_draining : unit -> bool; (* A connection ends with its response. *)
  is_stopping : unit -> bool; (* No further request is waited for. *)
  watch : watch option;
}

and conn = {
  server : server;
  budget : Budget.t;
  own_bytes : int; (* Counted without any request. *)
  input : Input.t;
  output : Output.t;
  peer : string Lazy.t;
  endpoint : Soil.Net.Endpoint.t option Lazy.t;
  text : Buffer.t;
  mutable head_end : int; (* What will have been sent with the head of the response. *)
  mutable current : Cohttp.Request.t option; (* The one that is answered. *)
  mutable working : request option; (* Its handler runs, or writes a stream. *)
  mutable seen : request option; (* [working] at the last check for clients that left. *)
  mutable is_checked : bool; (* The check for a client that left uses [input]. *)
  mutable has_left : bool;
  mutable idle : bool;
  mutable at_stop : unit -> unit;
}

and request = {
  head : Head.request;
  content : Body.t;
  conn : conn;
  scope : Soil.Task.scope;
  mutable is_wanted : bool; (* The handler may read the body. *)
  mutable max_body : int;
  mutable render : (error -> Response.t) option;
  mutable finish : Response.t -> Response.t;
  mutable route : string option;
  mutable id : string option;
  mutable values : binding list;
}

and error = {
  status : Cohttp.Code.status_code;
  detail : string option;
  headers : H.t;
  cause : exn option;
  request : request option;
}

(* A task that looks for clients that left while their handlers run, and waits while none runs. *)
and watch = { wanted : Soil.Task.Condition.t; mutable is_active : bool }

(* Requests *)

let head r = r.head.request
let meth r = r.head.request.meth
let path_of (head : Cohttp.Request.t) = fst (Soil.Private.cut '?' head.resource)
let path r = path_of r.head.request
let query r = Uri.query (Uri.of_string r.head.request.resource)
let header r name = H.get r.head.request.headers name
let scope r = r.scope
let peer r = Lazy.force r.conn.peer
let endpoint r = Lazy.force r.conn.endpoint
let is_draining r = r.conn.server.is_draining ()

let body ?max r =
  r.is_wanted <- true;
  Body.limit r.content (match max with Some max -> max | None -> r.max_body);
  Body.source r.content

let body_string ?max r =
  let source = body ?max r in
  if Body.is_over r.content then ""
  else Body.read_all r.content source ~count:(Budget.grow r.conn.budget)

(* Responses *)

type response = Response.t

let make ?(status = `OK) ?(headers = H.init ()) body = { Response.status; headers; body }
let string ?status ?headers s = make ?status ?headers (Text s)
let buffer ?status ?headers b = make ?status ?headers (Buffer b)

type ending = Response.ending = Sent | Cut | Unneeded | Not_begun

let stream ?status ?headers ?length ?(on_end = ignore) write =
  make ?status ?headers (Stream { length; write; on_end })

let has_no_body status =
  let code = Cohttp.Code.code_of_status status in
  code < 200 || code = 204 || code = 304

let status ?(headers = H.init ()) status =
  if has_no_body status then make ~status ~headers Empty
  else
    let headers = H.add_unless_exists headers "content-type" "text/plain; charset=utf-8" in
    make ~status ~headers (Text (Status.to_string status ^ "\n"))

(* Errors *)

(* Whether [e] is the cancellation of this task, and not of one that a handler waited for. *)
let is_cancelled = function
  | Soil.Task.Cancelled -> (
      match Soil.Task.check () with () -> false | exception Soil.Task.Cancelled -> true)
  | _ -> false

module Error = struct
  type t = error = {
    status : Cohttp.Code.status_code;
    detail : string option;
    headers : H.t;
    cause : exn option;
    request : request option;
  }

  let reason e = Status.phrase (Cohttp.Code.code_of_status e.status)

  let text e =
    match e.detail with
    | None -> status ~headers:e.headers e.status
    | Some detail ->
        let headers = H.replace e.headers "content-type" "text/plain; charset=utf-8" in
        string ~status:e.status ~headers (Status.to_string e.status ^ ": " ^ detail ^ "\n")

  let problem e =
    let member name value = "\"" ^ name ^ "\":" ^ value in
    let members =
      [
        member "title" (Json_string.quoted (reason e));
        member "status" (string_of_int (Cohttp.Code.code_of_status e.status));
      ]
      @ match e.detail with Some d -> [ member "detail" (Json_string.quoted d) ] | None -> []
    in
    let headers = H.replace e.headers "content-type" "application/problem+json" in
    string ~status:e.status ~headers ("{" ^ String.concat "," members ^ "}")
end

(* The error as the program shows it; as text if that fails, too. *)
let rendered render e =
  match render with
  | None -> Error.text e
  | Some render -> ( try render e with failure when not (is_cancelled failure) -> Error.text e)

let error ?(headers = H.init ()) ?detail ?cause ?(default = Error.text) r status =
  let e = { status; detail; headers; cause; request = Some r } in
  rendered (match r.render with None -> Some default | render -> render) e

let redirect ?status:(code = `See_other) target =
  status ~headers:(H.init_with "location" target) (code :> Cohttp.Code.status_code)

let upgrade ?(headers = H.init ()) protocol f =
  let run ~at_stop:_ flow = f flow in
  make ~status:`Switching_protocols ~headers:(H.add headers "upgrade" protocol) (Upgrade run)

let busy_headers () = H.of_list [ ("retry-after", "1"); ("connection", "close") ]

module Request = struct
  type t = request
  type 'a key = 'a Type.Id.t

  let key () = Type.Id.make ()

  let find (type a) r (key : a key) =
    let rec go : binding list -> a option = function
      | [] -> None
      | Binding (id, v) :: rest -> (
          match Type.Id.provably_equal id key with Some Type.Equal -> Some v | None -> go rest)
    in
    go r.values

  let set r key v =
    let is_other (Binding (id, _)) = Type.Id.uid id <> Type.Id.uid key in
    r.values <- Binding (key, v) :: List.filter is_other r.values

  let route (r : t) = r.route
  let set_route (r : t) route = r.route <- Some route

  (* 128 bits, as a trace has. *)
  let new_id () =
    let b = Buffer.create 32 in
    String.iter (fun c -> Printf.bprintf b "%02x" (Char.code c)) (Soil.Random.string 16);
    Buffer.contents b

  let id (r : t) =
    match r.id with
    | Some id -> id
    | None ->
        let id = new_id () in
        r.id <- Some id;
        id

  let set_id (r : t) id =
    if not (Grammar.is_value id) then
      invalid_arg "Soil_http.Server.Request.set_id: not the value of a field";
    r.id <- Some id

  let set_max_body r bytes = r.max_body <- bytes
  let set_error r render = r.render <- Some render

  let map_response (r : t) f =
    let inner = r.finish in
    r.finish <- (fun response -> f (inner response))
end

(* Sending *)

let framing_of (r : Response.t) version =
  match (Response.length r, version) with
  | Some n, _ -> Head.Length n
  | None, `HTTP_1_0 -> To_end
  | None, _ -> Chunked

let upgraded conn f =
  let at_stop g = if conn.server.is_stopping () then g () else conn.at_stop <- g in
  f ~at_stop (Input.duplex conn.input)

let send conn (r : Response.t) ~version ~head_only ~keep =
  let framing = framing_of r version in
  Response.head conn.text r ~version ~framing ~keep;
  let head = Buffer.contents conn.text in
  conn.head_end <- Output.sent conn.output + String.length head;
  if head_only || has_no_body r.status then (
    Output.strings conn.output [ head ];
    match r.body with Upgrade f -> upgraded conn f | _ -> ())
  else
    match r.body with
    | Empty | Upgrade _ -> Output.strings conn.output [ head ]
    | Text s -> Output.string conn.output ~head s
    | Buffer b ->
        Output.strings conn.output [ head ];
        Output.buffer conn.output b 0 (Bigarray.Array1.dim b)
    | Direct { send; _ } -> send conn.output ~head
    | Stream { write; _ } ->
        Output.strings conn.output [ head ];
        let sink, finish = Output.body conn.output ~framing in
        write sink;
        finish ()

let linger_seconds = 2.
let linger_bytes = 1 lsl 20

(* Tells the client that nothing more comes, and gives it a moment to read the last response: closing
   while it still sends would reset the connection, and the response might be lost. *)
let finish conn =
  let d = Input.flow conn.input in
  let unread = Bytes.create 4096 in
  let rec discard left =
    if left > 0 then
      match Input.waiting conn.input (fun () -> D.read d unread 0 (Bytes.length unread)) with
      | 0 -> ()
      | n -> discard (left - n)
  in
  try
    ignore
      (Soil.Task.timeout_opt linger_seconds (fun () ->
           D.shutdown d `Send;
           discard linger_bytes))
  with Soil.Error _ -> ()

(* What becomes of the connection after a response. *)
type next = Continue | End | Fail of exn * Printexc.raw_backtrace

let note conn (request : request option) status ~started ~sent_before =
  match conn.server.log with
  | None -> ()
  | Some log ->
      let seconds = Soil.Clock.monotonic () -. started and sent = Output.sent conn.output in
      log
        {
          peer = Lazy.force conn.peer;
          endpoint = Lazy.force conn.endpoint;
          request = Option.map (fun r -> r.head.request) request;
          route = Option.bind request (fun r -> r.route);
          id = Option.bind request (fun r -> r.id);
          status;
          bytes = sent - sent_before;
          body_bytes = max 0 (sent - conn.head_end);
          started = Soil.Clock.now () -. seconds;
          seconds;
        }

let is_failure conn e = Input.is_failure conn.input e
let is_close (r : Response.t) = Grammar.mem r.headers "connection" "close"
let is_begun conn = Output.sent conn.output >= conn.head_end

(* [f ()], which sends [r]; then the end of a stream. *)
let until_end conn (r : Response.t) ~head_only f =
  match r.body with
  | Stream { on_end; _ } -> (
      let ended ending = Soil.Task.protect (fun () -> on_end ending) in
      match f () with
      | () -> ended (if head_only || has_no_body r.status then Unneeded else Sent)
      | exception e ->
          let backtrace = Soil_backtrace.get () in
          ended (if is_begun conn then Cut else Not_begun);
          Soil_backtrace.reraise e backtrace)
  | _ -> f ()

(* A string is held until the client has taken it. *)
let count_response conn (r : Response.t) =
  match r.body with
  | Text s when String.length s > 4096 -> Budget.count conn.budget (String.length s)
  | _ -> ()

(* Clients that leave *)

let check_seconds = 0.5

(* Whether there is nothing more to come from the client: the handler reads none of it now. *)
let is_gone conn =
  Input.buffered conn.input = 0
  &&
  let is_over () =
    Input.until conn.input infinity;
    match Soil.Task.timeout_opt 0. (fun () -> Input.more conn.input) with
    | Some more -> not more
    | None -> false
    | exception e when is_failure conn e -> true
  in
  match Soil.Private.would_wait (Input.flow conn.input) with
  | Some true -> false
  | Some false | None -> is_over ()

let check_client conn =
  match conn.working with
  | None -> ()
  | Some request when Option.fold ~none:true ~some:(( != ) request) conn.seen ->
      conn.seen <- conn.working
  | Some request ->
      if Body.is_over request.content then (
        conn.is_checked <- true;
        let is_gone =
          Soil.Private.finally (fun () -> conn.is_checked <- false) (fun () -> is_gone conn)
        in
        if is_gone && Option.fold ~none:false ~some:(( == ) request) conn.working then (
          conn.has_left <- true;
          Soil.Task.cancel_scope request.scope))

(* [each f] is [f conn] for all connections. *)
let rec watch_clients w each =
  if w.is_active then Soil.Clock.sleep check_seconds else Soil.Task.Condition.wait_no_mutex w.wanted;
  w.is_active <- false;
  each (fun conn ->
      if Option.is_some conn.working then w.is_active <- true;
      check_client conn);
  watch_clients w each

let begin_work conn request =
  match conn.server.watch with
  | None -> ()
  | Some w ->
      conn.working <- Some request;
      if not w.is_active then (
        w.is_active <- true;
        Soil.Task.Condition.signal w.wanted)

(* A check takes a turn of the scheduler, in which nothing else may read. *)
let rec await_check conn =
  if conn.is_checked then (
    Soil.Task.protect Soil.Task.yield;
    await_check conn)

let end_work conn =
  conn.working <- None;
  conn.seen <- None;
  await_check conn

(* One request after the other *)

(* What middlewares add, once. *)
let finished request response =
  let finish = request.finish in
  request.finish <- Fun.id;
  finish response

(* An error in place of a response; without what middlewares add if that is what fails. *)
let failed ?headers ?cause request status =
  let response = error ?headers ?cause request status in
  try finished request response with e when not (is_cancelled e) -> response

let handle conn request handler ~failure =
  let busy () = failed request ~headers:(busy_headers ()) `Service_unavailable in
  let run () =
    match handler request with response -> response | exception Refused code -> error request code
  in
  match
    let response = run () in
    let response = finished request response in
    count_response conn response;
    response
  with
  | response -> response
  | exception e when Budget.is_refusal e -> busy ()
  | exception (Out_of_memory as e) ->
      Soil.Private.recover e;
      busy ()
  | exception e ->
      let backtrace = Soil_backtrace.get () in
      Soil.Private.recover e;
      if is_cancelled e || is_failure conn e then Soil_backtrace.reraise e backtrace;
      failure := Fail (e, backtrace);
      failed request ~cause:e `Internal_server_error

let respond conn request handler note =
  let head = request.head and content = request.content in
  let version = head.request.version
  and head_only = match head.request.meth with `HEAD -> true | _ -> false in
  let failure = ref End in
  begin_work conn request;
  let response = handle conn request handler ~failure in
  let writes_later = match response.body with Stream _ -> true | _ -> false in
  if not writes_later then end_work conn;
  let keep =
    head.persistent
    && (match !failure with Fail _ -> false | Continue | End -> true)
    && (not (conn.server.is_draining ()))
    && (not (is_close response))
    && (writes_later || Body.can_discard content)
  in
  let keep = keep && match framing_of response version with To_end -> false | _ -> true in
  let keep = keep && match response.body with Upgrade _ -> false | _ -> true in
  let send () =
    (* Nothing can be asked for once the response has begun. *)
    if writes_later && request.is_wanted then Body.ask content else Body.dont_ask content;
    send conn response ~version ~head_only ~keep
  in
  Budget.finished conn.budget;
  (match until_end conn response ~head_only send with
  | () -> note response.status
  | exception e ->
      let backtrace = Soil_backtrace.get () in
      if is_begun conn || is_failure conn e || is_cancelled e then note response.status;
      Soil_backtrace.reraise e backtrace);
  end_work conn;
  match !failure with
  | Fail _ -> !failure
  | Continue | End -> if keep && Body.discard content then Continue else End

let make_request conn (head : Head.request) scope =
  let limits = conn.server.limits in
  let ask () = Output.strings conn.output [ "HTTP/1.1 100 Continue\r\n\r\n" ] in
  let ask = if head.expects then Some ask else None in
  {
    head;
    content = Body.make ?ask conn.input head.framing limits;
    conn;
    scope;
    is_wanted = false;
    max_body = limits.body_bytes;
    render = conn.server.on_refusal;
    finish = Fun.id;
    route = None;
    id = None;
    values = [];
  }

(* What nginx logs for a client that left before its response. *)
let client_left = `Code 499

let answer conn (head : Head.request) handler =
  let log_time = Option.is_some conn.server.log in
  let started = if log_time then Soil.Clock.monotonic () else 0. in
  let sent_before = Output.sent conn.output in
  let current = ref None in
  let note status = note conn !current status ~started ~sent_before in
  conn.head_end <- max_int;
  let run scope =
    let request = make_request conn head scope in
    current := Some request;
    respond conn request handler note
  in
  match Soil.Task.scope run with
  | next -> next
  | exception e -> (
      let backtrace = Soil_backtrace.get () in
      end_work conn;
      if conn.has_left then (
        if not (is_begun conn) then note client_left;
        Soil_backtrace.raise Response.Cut);
      match !current with
      (* A response that couldn't be begun can still be replaced. *)
      | Some request when not (is_begun conn || is_failure conn e || is_cancelled e) ->
          let head_only = match head.request.meth with `HEAD -> true | _ -> false in
          let response = failed request ~cause:e `Internal_server_error in
          send conn response ~version:head.request.version ~head_only ~keep:false;
          note `Internal_server_error;
          Fail (e, backtrace)
      | _ -> Soil_backtrace.reraise e backtrace)

(* Before there is a request. *)
let refuse ?(headers = H.init ()) conn status =
  let started = Soil.Clock.monotonic () and sent_before = Output.sent conn.output in
  let e = { status; detail = None; headers; cause = None; request = None } in
  let response = rendered conn.server.on_refusal e in
  send conn response ~version:`HTTP_1_1 ~head_only:false ~keep:false;
  note conn None response.status ~started ~sent_before

let turn_away_seconds = 1.

(* Memory is needed, and this client was the slowest, or the newest. It isn't waited for: a response
   that has begun is cut, with all that the connection still holds of it. *)
let turn_away conn e =
  let backtrace = Soil_backtrace.get () in
  let is_busy = Output.is_cut conn.output || (Option.is_some conn.current && is_begun conn) in
  if is_busy then Soil_backtrace.reraise e backtrace
  else if not conn.idle then
    try
      let refuse () = refuse conn ~headers:(busy_headers ()) `Service_unavailable in
      ignore (Soil.Task.timeout_opt turn_away_seconds refuse)
    with e when is_failure conn e -> ()

(* [true] as soon as there is the first byte of a request. *)
let is_asked conn =
  Input.buffered conn.input > 0
  || (not (conn.server.is_stopping ()))
     &&
     (Input.within conn.input conn.server.limits.idle_seconds;
      conn.idle <- true;
      Budget.idle conn.budget;
      let asked = try Input.more conn.input with Input.Late -> false in
      Budget.finished conn.budget;
      conn.idle <- false;
      asked)

let rec requests conn handler =
  if is_asked conn then (
    Input.within conn.input conn.server.limits.head_seconds;
    match
      let head = Head.request conn.input conn.server.limits in
      Budget.finished conn.budget;
      Budget.grow conn.budget head.size;
      head
    with
    | head -> (
        conn.current <- Some head.request;
        match answer conn head handler with
        | Continue ->
            conn.current <- None;
            Budget.shrink_to conn.budget (conn.own_bytes + Input.extra conn.input);
            requests conn handler
        | End -> finish conn
        | Fail (e, backtrace) ->
            finish conn;
            Soil_backtrace.reraise e backtrace)
    | exception Refused code ->
        refuse conn code;
        finish conn
    | exception Input.Late ->
        refuse conn `Request_timeout;
        finish conn)
  else finish conn

let run conn handler =
  try Budget.run conn.budget (fun () -> requests conn handler) with
  | Response.Cut -> ()
  | e when Budget.is_refusal e -> turn_away conn e
  | e when is_failure conn e ->
      (* The client went away, or doesn't take what it asked for. *)
      ()

let server ?(limits = default_limits) ?log ?error ~on_disconnect scope each ~is_draining
    ~is_stopping =
  let watch =
    match on_disconnect with
    | `Finish -> None
    | `Cancel ->
        let w = { wanted = Soil.Task.Condition.create (); is_active = false } in
        (* Also while a server that was cancelled answers its last clients. *)
        ignore (Soil.Task.spawn_daemon ~protected:true scope (fun () -> watch_clients w each));
        Some w
  in
  { limits; log; on_refusal = error; is_draining; is_stopping; watch }

(* What a connection without any request takes beside [Input]'s buffer. *)
let conn_bytes = 2048

let conn server budget ~peer ~endpoint d =
  Budget.grow budget conn_bytes;
  let input = Input.create ~peer:budget d in
  let output = Output.create input ~seconds:server.limits.write_seconds in
  let own_bytes = Budget.bytes budget in
  {
    server; budget; own_bytes; input; output; peer; endpoint; text = Buffer.create 512; head_end = 0; current = None;
    working = None; seen = None; is_checked = false; has_left = false; idle = false; at_stop = ignore;
  }
[@@ocamlformat "disable"]

let no_endpoint = Lazy.from_val None

(* Of the connection, if [Tcp.serve] has accepted it. *)
let with_budget f =
  match Budget.current () with
  | Some budget -> f budget
  | None ->
      let budget = Budget.create () in
      Fun.protect ~finally:(fun () -> Budget.release budget) (fun () -> f budget)

let connection ?limits ?log ?peer ?error ?(on_disconnect = `Cancel) d handler =
  let peer = match peer with Some p -> Lazy.from_val p | None -> lazy (D.name d) in
  with_budget @@ fun budget ->
  Soil.Task.scope @@ fun scope ->
  let own = ref None in
  let each f = Option.iter f !own in
  let never () = false in
  let server =
    server ?limits ?log ?error ~on_disconnect scope each ~is_draining:never ~is_stopping:never
  in
  let conn = conn server budget ~peer ~endpoint:no_endpoint (d :> D.flow) in
  own := Some conn;
  run conn handler

(* Reports *)

type report = (unit -> string) -> exn -> Printexc.raw_backtrace -> unit

let reporter : report ref = ref Soil.Private.report
let on_exception report = reporter := report

let report conn e backtrace =
  let what () =
    let request =
      match conn.current with
      | None -> ""
      | Some (r : Cohttp.Request.t) -> " " ^ Cohttp.Code.string_of_method r.meth ^ " " ^ path_of r
    in
    "http " ^ Lazy.force conn.peer ^ request ^ ": exception "
  in
  try !reporter what e backtrace with failure when not (is_cancelled failure) -> ()

(* All connections of a listener *)

module Conns = Set.Make (struct
  type t = int * conn

  let compare (a, _) (b, _) = Int.compare a b
end)

let serve ?limits ?log ?max_connections ?(lame_duck = 0.) ?grace ?error ?(on_disconnect = `Cancel)
    ?on_error ?client ?secure listener handler =
  if not (lame_duck >= 0.) then invalid_arg "Soil_http.Server.serve: lame_duck is negative";
  Soil.Task.scope @@ fun scope ->
  let draining = ref false and stopping = ref false and conns = ref Conns.empty and count = ref 0 in
  let each f = Conns.iter (fun (_, conn) -> f conn) !conns in
  let is_stopping () = !stopping || not (D.is_open listener) in
  let is_draining () = !draining || is_stopping () in
  let server = server ?limits ?log ?error ~on_disconnect scope each ~is_draining ~is_stopping in
  let stop () =
    stopping := true;
    (* New clients are refused at once, instead of waiting in the backlog. *)
    D.close listener;
    each (fun conn ->
        if conn.idle then try D.shutdown (Input.flow conn.input) `Receive with Soil.Error _ -> ()
        else conn.at_stop ())
  in
  let one connection endpoint d =
    let peer =
      lazy
        (match Lazy.force endpoint with
        | Some endpoint -> Soil.Net.Endpoint.to_string endpoint
        | None -> D.name connection)
    in
    with_budget @@ fun budget ->
    let conn = conn server budget ~peer ~endpoint d in
    incr count;
    let member = (!count, conn) in
    conns := Conns.add member !conns;
    Fun.protect
      ~finally:(fun () -> conns := Conns.remove member !conns)
      (fun () ->
        match run conn handler with
        | () -> ()
        | exception e ->
            let backtrace = Soil_backtrace.get () in
            if Option.is_some on_error || is_cancelled e || Budget.is_refusal e then
              Soil_backtrace.reraise e backtrace;
            report conn e backtrace)
  in
  let each_connection connection =
    let endpoint =
      match client with
      | Some client -> Lazy.from_val (Some (client connection))
      | None ->
          lazy
            (match Soil.Tcp.peer connection with
            | endpoint -> Some endpoint
            | exception Soil.Error _ -> None)
    in
    match secure with
    | None -> one connection endpoint (connection :> D.flow)
    | Some secure -> (
        let seconds = server.limits.head_seconds in
        let secure () = Budget.receive (fun () -> secure connection) in
        match Soil.Task.timeout_opt seconds secure with
        | Some d -> D.with_close d (fun d -> one connection endpoint (d :> D.flow))
        | None ->
            let detail = Printf.sprintf "not within %g s" seconds in
            let subject = D.name connection in
            let e = Soil.Error { code = Timed_out; operation = "handshake"; subject; detail } in
            Soil.Private.peer_failed connection e;
            Soil_backtrace.raise e)
  in
  (* [serve] has returned, or failed. *)
  let is_over = ref false in
  let serve () =
    match Soil.Tcp.serve ?max_connections ?grace ?on_error listener each_connection with
    | () -> is_over := true
    | exception e ->
        let backtrace = Soil_backtrace.get () in
        if not (is_cancelled e) then is_over := true;
        Soil_backtrace.reraise e backtrace
  in
  (* Cancelled after the time in which new clients still come. *)
  let accepting = ref None and watched = Soil.Task.Promise.create () in
  let watch () =
    Soil.Task.Promise.fulfil watched ();
    try Soil.Clock.sleep infinity
    with Soil.Task.Cancelled as e ->
      if not !is_over then (
        draining := true;
        if lame_duck > 0. then Soil.Task.protect (fun () -> Soil.Clock.sleep lame_duck);
        stop ();
        Option.iter Soil.Task.cancel_scope !accepting);
      raise e
  in
  ignore (Soil.Task.spawn_daemon scope watch);
  (* A task that is cancelled before it starts would notice nothing. *)
  Soil.Task.Promise.await watched;
  if lame_duck = 0. then serve ()
  else (
    Soil.Task.protect (fun () ->
        Soil.Task.scope (fun within ->
            accepting := Some within;
            serve ()));
    Soil.Task.check ())

(* What middlewares see *)

module Response = struct
  type t = response

  let status (r : t) = r.status
  let with_status status (r : t) = { r with status }
  let headers (r : t) = r.headers
  let header (r : t) name = H.get r.headers name
  let with_headers headers (r : t) = { r with headers }
  let add_header name value (r : t) = { r with headers = H.add r.headers name value }
  let set_header name value (r : t) = { r with headers = H.replace r.headers name value }
  let set_default name value (r : t) = { r with headers = H.add_unless_exists r.headers name value }
  let remove_header name (r : t) = { r with headers = H.remove r.headers name }
  let length = Response.length

  let map_body ~string ~stream (r : t) =
    let body : Response.body =
      match r.body with
      | (Empty | Upgrade _) as body -> body
      | Text s -> Text (string s)
      | Buffer b -> Text (string (String.init (Bigarray.Array1.dim b) (Bigarray.Array1.get b)))
      | Stream s -> Stream { s with length = None; write = stream s.write }
      | Direct { write; _ } -> Stream { length = None; write = stream write; on_end = ignore }
    in
    { r with body }
end
