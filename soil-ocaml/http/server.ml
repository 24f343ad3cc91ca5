include Server_request
include Server_response
include Server_error
open Server_leavers

exception Refused = Head.Refused

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

let request_line (e : entry) =
  match e.request with
  | None -> "-"
  | Some r ->
      String.concat " "
        [ Cohttp.Code.string_of_method r.meth; r.resource; Cohttp.Code.string_of_version r.version ]

let entry_to_string (e : entry) =
  Printf.sprintf "%s %s %S %d %d bytes %.1f ms" (Date.to_rfc_3339 e.started) e.peer (request_line e)
    (Cohttp.Code.code_of_status e.status)
    e.bytes (e.seconds *. 1e3)

let busy_headers () = H.of_list [ ("retry-after", "1"); ("connection", "close") ]

(* Sending *)

let framing_of (r : Response.t) version =
  match (Response.length r, version) with
  | Some n, _ -> Head.Length n
  | None, `HTTP_1_0 -> To_end
  | None, _ -> Chunked

let upgraded conn f =
  let at_stop g = if conn.server.is_stopping () then g () else conn.at_stop <- g in
  f ~at_stop (Input.duplex conn.input)

(* Others may drop them, and some fail (RFC 9110 §6.5.1). *)
let wants_trailers conn =
  match conn.current with Some r -> Grammar.mem r.headers "te" "trailers" | None -> false

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
    | Stream { write; trailers; _ } ->
        Output.strings conn.output [ head ];
        let sink, finish = Output.body conn.output ~framing in
        write sink;
        finish
          (match trailers with
          | Some trailers when wants_trailers conn -> Response.trailer_fields (trailers ())
          | Some _ | None -> [])

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

let early_hints r headers =
  let conn = r.conn in
  if r.head.request.version <> `HTTP_1_0 && conn.head_end = max_int then (
    let head = Buffer.create 256 in
    Buffer.add_string head "HTTP/1.1 103 Early Hints\r\n";
    Head.write head (H.to_list headers);
    Output.strings conn.output [ Buffer.contents head ])

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

module Response = Server_response.View
