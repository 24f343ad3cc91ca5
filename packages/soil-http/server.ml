include Server_request
include Server_response
include Server_error
open Server_leavers
open Server_answer

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
    http2 = Head.default_http2;
  }

let request_line (e : entry) =
  match e.request with
  | None -> "-"
  | Some r ->
      String.concat " "
        [ Cohttp.Code.string_of_method r.meth; r.resource; Cohttp.Code.string_of_version r.version ]

let entry_text (e : entry) =
  Printf.sprintf "%s %S %d %d bytes %.1f ms" e.peer (request_line e)
    (Cohttp.Code.code_of_status e.status)
    e.bytes (e.seconds *. 1e3)

let entry_to_string (e : entry) =
  let id = match e.id with None -> "" | Some id -> " " ^ id in
  Date.to_rfc_3339 e.started ^ " " ^ entry_text e ^ id

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

(* No request of HTTP/1.1 begins like the preface of HTTP/2. *)
let rec begins_http2 conn at =
  let start = "PRI " in
  at = String.length start
  ||
  if Input.buffered conn.input > at then
    Input.get conn.input at = start.[at] && begins_http2 conn (at + 1)
  else Input.more conn.input && begins_http2 conn at

let first_requests conn handler ~failed =
  match conn.server.http2 with
  | Some _ when not (is_asked conn) -> finish conn
  | Some http2 ->
      Input.within conn.input conn.server.limits.head_seconds;
      let is_http2 = try begins_http2 conn 0 with Input.Late -> false in
      if is_http2 then (
        http2.run conn handler ~failed;
        finish conn)
      else requests conn handler
  | None -> requests conn handler

let run conn handler ~failed =
  try Budget.run conn.budget (fun () -> first_requests conn handler ~failed) with
  | Response.Cut -> ()
  | e when Budget.is_refusal e -> turn_away conn e
  | e when is_failure conn e ->
      (* The client went away, or doesn't take what it asked for. *)
      ()

let server ?(limits = default_limits) ?log ?error ?http2 ~on_disconnect scope each ~is_draining
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
  { limits; log; on_refusal = error; is_draining; is_stopping; watch; http2 }

(* What a connection without any request takes beside [Input]'s buffer. *)
let conn_bytes = 2048

let conn server budget ~peer ~endpoint d =
  Budget.grow budget conn_bytes;
  let input = Input.create ~peer:budget d in
  let output = Output.create input ~seconds:server.limits.write_seconds in
  let own_bytes = Budget.bytes budget in
  {
    server; wire = Version_1; budget; own_bytes; input; output; peer; endpoint; text = Buffer.create 512; head_end = 0; current = None;
    working = None; seen = None; is_checked = false; has_left = false; idle = false; at_stop = ignore; added = None;
    current_id = Soil.Private.new_identifier (); shortage = None;
  }
[@@ocamlformat "disable"]

(* Of the connection, if [Tcp.serve] has accepted it. *)
let with_budget f =
  match Budget.current () with
  | Some budget -> f budget
  | None ->
      let budget = Budget.create () in
      Fun.protect ~finally:(fun () -> Budget.release budget) (fun () -> f budget)

let connection ?limits ?log ?peer ?endpoint ?error ?http2 ?(on_disconnect = `Cancel) ?on_error d
    handler =
  let peer =
    match (peer, endpoint) with
    | Some p, _ -> Lazy.from_val p
    | None, Some e -> lazy (Soil.Net.Endpoint.to_string e)
    | None, None -> lazy (D.name d)
  in
  with_budget @@ fun budget ->
  Soil.Task.scope @@ fun scope ->
  let own = ref None in
  let each f = Option.iter f !own in
  let never () = false in
  let server =
    server ?limits ?log ?error ?http2 ~on_disconnect scope each ~is_draining:never
      ~is_stopping:never
  in
  let conn = conn server budget ~peer ~endpoint:(Lazy.from_val endpoint) (d :> D.flow) in
  own := Some conn;
  let failure = ref None and is_own = ref false in
  let failed _ e backtrace =
    match on_error with
    | Some on_error -> Soil.Private.undoing (fun () -> is_own := true) (fun () -> on_error e)
    | None -> if Option.is_none !failure then failure := Some (e, backtrace)
  in
  (try run conn handler ~failed
   with e when Option.is_some on_error && not (!is_own || is_cancelled e) ->
     failed conn e (Soil_backtrace.get ()));
  Option.iter (fun (e, backtrace) -> Soil_backtrace.reraise e backtrace) !failure

(* Reports *)

type report = (unit -> string) -> exn -> Printexc.raw_backtrace -> unit

let print_exception what e backtrace =
  let id () = match Request.current_id () with None -> "" | Some id -> "[" ^ id ^ "] " in
  Soil.Private.report (fun () -> id () ^ what ()) e backtrace

let reporter : report ref = ref print_exception
let on_exception report = reporter := report

let report conn e backtrace =
  let memory =
    match (e, conn.shortage) with
    | Out_of_memory, Some sizes -> ": " ^ sizes
    | Out_of_memory, None -> ": " ^ sizes_of_memory ()
    | _ -> ""
  in
  let what () =
    let request =
      match conn.current with
      | None -> ""
      | Some (r : Cohttp.Request.t) -> " " ^ Cohttp.Code.string_of_method r.meth ^ " " ^ path_of r
    in
    "http " ^ Lazy.force conn.peer ^ request ^ memory ^ ": exception "
  in
  let report () = !reporter what e backtrace in
  try
    if Option.is_none conn.current then report ()
    else Soil.Task.Local.with_ Soil.Private.request_id conn.current_id report
  with failure when not (is_cancelled failure) -> ()

(* All connections of a listener *)

module Conns = Set.Make (struct
  type t = int * conn

  let compare (a, _) (b, _) = Int.compare a b
end)

let serve ?limits ?log ?max_connections ?(lame_duck = 0.) ?grace ?error ?http2
    ?(on_disconnect = `Cancel) ?on_error ?client ?secure listener handler =
  if not (lame_duck >= 0.) then invalid_arg "Soil_http.Server.serve: lame_duck is negative";
  Soil.Task.scope @@ fun scope ->
  let draining = ref false and stopping = ref false and conns = ref Conns.empty and count = ref 0 in
  let each f = Conns.iter (fun (_, conn) -> f conn) !conns in
  let is_stopping () = !stopping || not (D.is_open listener) in
  let is_draining () = !draining || is_stopping () in
  let server =
    server ?limits ?log ?error ?http2 ~on_disconnect scope each ~is_draining ~is_stopping
  in
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
    let failed conn e backtrace =
      match on_error with Some on_error -> on_error connection e | None -> report conn e backtrace
    in
    incr count;
    let member = (!count, conn) in
    conns := Conns.add member !conns;
    Fun.protect
      ~finally:(fun () -> conns := Conns.remove member !conns)
      (fun () ->
        match run conn handler ~failed with
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

let early_hints = Server_answer.early_hints

module Response = Server_response.View

let report (r : request) e backtrace = report r.conn e backtrace
