(** Serving HTTP/2: a task for each stream. Private to [soil-http]; {!Http2} documents it. *)

module C = Http2_connection
module F = Http2_frame
module Link = Http2_link
module T = Soil.Task
open Server_request

type t = {
  connection : conn;
  link : Link.t;
  scope : T.scope;
  handler : request -> Response.t;
  failed : conn -> exn -> Printexc.raw_backtrace -> unit;
  served : (int, conn) Hashtbl.t; (* The streams that are answered, by number. *)
  mutable handlers : int; (* Tasks of streams. *)
  mutable waiting : int; (* Of these, those that wait for memory. *)
  mutable idle_since : float;
  mutable second : float; (* When the count of new streams began. *)
  mutable opened_before : int;
}

(* Responses *)

let with_length (r : Response.t) fields =
  match Response.length r with
  | Some n when not (Server_response.has_no_body r.status) ->
      fields @ [ ("content-length", string_of_int n) ]
  | _ -> fields

let fields_of (r : Response.t) =
  let fields = List.filter (fun (name, _) -> not (Response.is_own (String.lowercase_ascii name))) (H.to_list r.headers) in
  let fields = if H.mem r.headers "date" then fields else ("date", Date.now ()) :: fields in
  with_length r fields
[@@ocamlformat "disable"]

(* The protocol begins with 200 instead of 101 (RFC 8441 §5). *)
let upgraded_fields (r : Response.t) =
  List.filter
    (fun (name, _) -> not (Grammar.equal name "sec-websocket-accept"))
    (H.to_list r.headers)

let announce_end t =
  C.goaway t.link.conn F.No_error;
  Link.push t.link

let respond t s conn (r : Response.t) ~head_only =
  if Server_answer.is_close r then announce_end t;
  (* Its errors are the client's. *)
  let send f = Input.guard conn.input f in
  let head status fields ~last =
    send (fun () -> Link.send_head s (Http2_head.response_fields status fields) ~last);
    conn.head_end <- Output.sent conn.output
  in
  let code = Cohttp.Code.code_of_status r.status in
  match r.body with
  | Upgrade f ->
      head 200 (upgraded_fields r) ~last:false;
      Server_answer.upgraded conn f;
      send (fun () -> Link.send_end s [])
  | _ when head_only || Server_response.has_no_body r.status -> head code (fields_of r) ~last:true
  | Empty | Text "" -> head code (fields_of r) ~last:true
  | Text text ->
      head code (fields_of r) ~last:false;
      Output.by_pieces conn.output (String.length text) (Link.send_piece s text)
  | Buffer b ->
      head code (fields_of r) ~last:false;
      Output.buffer conn.output b 0 (Bigarray.Array1.dim b);
      send (fun () -> Link.send_end s [])
  | Direct { write; _ } | Stream { write; _ } ->
      head code (fields_of r) ~last:false;
      let framing = match Response.length r with Some n -> Head.Length n | None -> To_end in
      let sink, finish = Output.body conn.output ~framing in
      write sink;
      finish [];
      let trailers =
        match r.body with
        | Stream { trailers = Some trailers; _ } -> Response.trailer_fields (trailers ())
        | _ -> []
      in
      let trailers = Http2_head.fields trailers in
      send (fun () -> Link.send_end s trailers)

let interim s input code fields =
  Input.guard input (fun () ->
      Link.send_head s (Http2_head.response_fields code fields) ~last:false)

(* One stream *)

(* Nobody else wakes the reader, which waits for a frame. *)
let end_if_unused t =
  if C.is_over t.link.conn && C.streams t.link.conn = 0 then
    try D.shutdown (Input.flow t.connection.input) `Receive with Soil.Error _ -> ()

let conn_of t s budget request =
  let input = Input.unbuffered ~peer:budget (Link.flow s :> D.flow) in
  let output = Output.create input ~seconds:t.connection.server.limits.write_seconds in
  let wire = Version_2 { respond = respond t s; interim = interim s input } in
  {
    t.connection with wire; budget; own_bytes = 0; input; output; head_end = max_int; current = request;
    working = None; seen = None; is_checked = false; has_left = false; idle = false; at_stop = ignore;
  }
[@@ocamlformat "disable"]

let cut s conn = Link.reset s (if Server_answer.is_begun conn then F.Internal_error else F.Cancel)

let answer_or_cut t s conn answer =
  match Budget.run conn.budget answer with
  | Server_answer.Continue | End -> ()
  | Fail (e, backtrace) -> t.failed conn e backtrace
  | exception Response.Cut -> cut s conn
  | exception e when Budget.is_refusal e -> Link.reset s F.Enhance_your_calm
  | exception e when Input.is_failure conn.input e -> cut s conn
  | exception e ->
      let backtrace = Soil_backtrace.get () in
      cut s conn;
      if Server_error.is_cancelled e then Soil_backtrace.reraise e backtrace
      else t.failed conn e backtrace

(* What a stream and its task take beside their head, by measurement: 3 KiB of values, and as much
   for the task's stack, which doesn't shrink, and for the collector's garbage. *)
let stream_bytes = 6144

(* Streams of a connection that wait for memory, beyond which they are refused: the task that waits
   takes memory itself. *)
let max_waiting = 4

let await_memory t budget n =
  Soil.Private.finally (fun () -> t.waiting <- t.waiting - 1) (fun () -> Budget.grow budget n)

(* [answer conn] for the stream [s], in a task of its own, which counts before it is there. [missing]
   bytes have no room yet. The closures live as long as the task: they capture little. *)
let start t s budget request ~missing answer =
  let run () =
    let conn = conn_of t s budget request in
    Hashtbl.replace t.served (C.id s.Link.stream) conn;
    s.on_reset <-
      (fun () ->
        t.idle_since <- Soil.Clock.monotonic ();
        Server_leavers.leave conn);
    let finish () =
      Hashtbl.remove t.served (C.id s.Link.stream);
      t.handlers <- t.handlers - 1;
      Link.release s;
      if C.streams t.link.conn = 0 then t.idle_since <- Soil.Clock.monotonic ();
      if t.connection.server.is_draining () then announce_end t;
      end_if_unused t
    in
    let answer () =
      (* The handler of a stream that was reset meanwhile doesn't begin (CVE-2023-44487). *)
      if missing > 0 then await_memory t conn.budget (if Link.is_reset s then 0 else missing);
      (* Others may have used up the memory since: what the handler makes nobody knows before. *)
      if not (Link.is_reset s) then Budget.grow conn.budget 0;
      if Link.is_reset s then Soil_backtrace.raise Response.Cut;
      answer conn
    in
    Soil.Private.finally finish (fun () -> answer_or_cut t s conn answer)
  in
  t.handlers <- t.handlers + 1;
  if missing > 0 then t.waiting <- t.waiting + 1;
  T.on_end (T.spawn t.scope run) (fun () -> Budget.release budget)

let serve t s request ~size answer =
  let budget = Budget.create () in
  let bytes = size + stream_bytes in
  let missing = if Budget.grow_now budget bytes then 0 else bytes in
  if missing = 0 || t.waiting < max_waiting then start t s budget request ~missing answer
  else (
    Budget.release budget;
    C.refuse t.link.conn s.stream F.Refused_stream;
    Link.release s)

let refuse t s status =
  serve t s None ~size:0 (fun conn ->
      Server_answer.refuse conn status;
      End)

(* Handlers of streams that were reset may still run. *)
let has_place t = t.handlers < 2 * t.connection.server.limits.http2.streams

let on_head t link stream fields ~last =
  match Http2_head.request fields ~last with
  | _ when not (has_place t) -> C.refuse link.Link.conn stream F.Refused_stream
  | head ->
      let length =
        match head.framing with
        | Length n when H.mem head.request.headers "content-length" -> Some n
        | Length _ | Chunked | To_end -> None
      in
      if not last then C.expect stream length;
      Option.iter (C.set_priority stream) (H.get head.request.headers "priority");
      let answer conn = Server_answer.answer conn head t.handler in
      serve t (Link.make link stream) (Some head.request) ~size:head.size answer
  | exception Http2_head.Malformed -> C.refuse link.conn stream F.Protocol_error
  | exception Head.Refused status ->
      C.expect stream None;
      refuse t (Link.make link stream) status

let on_large_head t link stream =
  C.expect stream None;
  refuse t (Link.make link stream) `Request_header_fields_too_large

(* The connection *)

let limits t = t.connection.server.limits

(* A client that opens more waits for its next second. *)
let pace t =
  let now = Soil.Clock.monotonic () and opened = C.opened t.link.conn in
  if now -. t.second >= 1. then (
    t.second <- now;
    t.opened_before <- opened)
  else if opened - t.opened_before > (limits t).http2.streams_per_second then
    Soil.Clock.sleep (t.second +. 1. -. now)

let wait_and_receive t =
  let input = t.connection.input and conn = t.link.conn in
  if C.is_in_head conn then Link.receive t.link
  else if C.streams conn = 0 then (
    Input.until input (t.idle_since +. (limits t).idle_seconds);
    Budget.idle t.connection.budget;
    Link.receive t.link;
    Budget.finished t.connection.budget)
  else (
    (* Nobody says when the last stream has ended: from then on, the client may be idle. *)
    Input.within input ((limits t).idle_seconds /. 8.);
    try Input.patiently input (fun () -> Link.receive t.link) with Input.Late -> ())

(* The rest of a head has its time, whatever comes between. *)
let rec receive_all t ~in_head =
  let conn = t.link.conn in
  if not (C.is_over conn && C.streams conn = 0) then (
    let is_in_head = C.is_in_head conn in
    if is_in_head && not in_head then
      Input.until t.connection.input (Soil.Clock.monotonic () +. (limits t).head_seconds);
    wait_and_receive t;
    pace t;
    receive_all t ~in_head:is_in_head)

let stop t =
  announce_end t;
  Hashtbl.iter (fun _ conn -> conn.at_stop ()) t.served;
  end_if_unused t

let turn_away_seconds = 1.

(** [run connection handler ~failed] serves the streams of a connection whose preface comes next. *)
let run connection handler ~failed =
  T.scope @@ fun scope ->
  let self = ref None in
  let the f = match !self with Some t -> f t | None -> () in
  let on_head link stream fields ~last = the (fun t -> on_head t link stream fields ~last)
  and on_large_head link stream = the (fun t -> on_large_head t link stream) in
  let link =
    Link.create ~peer:connection.budget (In_scope scope) C.Server connection.server.limits
      connection.input ~on_head ~on_large_head
  in
  let now = Soil.Clock.monotonic () in
  let t =
    {
      connection;
      link;
      scope;
      handler;
      failed;
      served = Hashtbl.create 8;
      handlers = 0;
      waiting = 0;
      idle_since = now;
      second = now;
      opened_before = 0;
    }
  in
  self := Some t;
  if connection.server.is_stopping () then announce_end t;
  connection.at_stop <- (fun () -> stop t);
  let receive () =
    Link.handle link;
    receive_all t ~in_head:false
  in
  let finish () =
    (* Handlers end, and their last output is written. *)
    C.end_all link.conn;
    Link.drain link
  in
  Soil.Private.finally (fun () -> connection.at_stop <- ignore) @@ fun () ->
  (match Budget.run connection.budget receive with
  | () | (exception Link.Over) -> finish ()
  | exception Input.Late ->
      announce_end t;
      finish ()
  | exception e when Budget.is_refusal e ->
      (* Memory is needed, so that the client isn't waited for. *)
      C.goaway link.conn F.Enhance_your_calm;
      ignore (T.timeout_opt turn_away_seconds finish);
      Link.fail link Link.Over;
      Soil_backtrace.raise Response.Cut
  | exception e when Input.is_failure connection.input e -> finish ());
  Link.fail link Link.Over
