(* The answer to one request, on a connection of either version. *)

open Server_request
open Server_response
open Server_error
open Server_leavers

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

let send_1 conn (r : Response.t) ~version ~head_only ~keep =
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

let send conn r ~version ~head_only ~keep =
  match conn.wire with
  | Version_1 -> send_1 conn r ~version ~head_only ~keep
  | Version_2 stream -> stream.respond conn r ~head_only

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
          id = Option.map Request.id request;
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

(* A body in memory is held until the client has taken it. *)
let count_response conn (r : Response.t) =
  match r.body with
  | Text _ | Buffer _ ->
      let n = Option.value (Response.length r) ~default:0 in
      if n > 4096 then Budget.count conn.budget n
  | Empty | Direct _ | Stream _ | Upgrade _ -> ()

(* One request after the other *)

(* What middlewares add, once. *)
let finished request response =
  let finish = request.finish in
  request.finish <- Fun.id;
  finish response

(* An error in place of a response; if a middleware fails, without its additions. *)
let failed ?headers ?cause request status =
  let response = error ?headers ?cause request status in
  try finished request response with e when not (is_cancelled e) -> response

external quick_stat : unit -> Gc.stat = "caml_gc_quick_stat"

(* For the report of an exhausted memory. *)
let sizes_of_memory () =
  let budget = Budget.statistics () and heap = quick_stat () in
  Printf.sprintf "the heap has %d bytes, at most %d; %d peers hold %d of %d bytes"
    (heap.heap_words * (Sys.word_size / 8))
    (heap.top_heap_words * (Sys.word_size / 8))
    budget.peers budget.held budget.limit

let handle conn request handler ~failure =
  let busy () = failed request ~headers:(busy_headers ()) `Service_unavailable in
  let run () =
    match handler request with
    | response -> response
    | exception Head.Refused code -> error request code
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
      let backtrace = Soil_backtrace.get () in
      conn.shortage <- Some (sizes_of_memory ());
      Soil.Private.recover e;
      failure := Fail (e, backtrace);
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
  | Continue | End -> (
      match conn.wire with
      | Version_2 _ -> End
      | Version_1 -> if keep && Body.discard content then Continue else End)

(* HTTP/1.0 has none. *)
let interim conn ~version code fields =
  match conn.wire with
  | Version_2 stream -> stream.interim code fields
  | Version_1 when version = `HTTP_1_0 -> ()
  | Version_1 ->
      let head = Buffer.create 64 in
      Buffer.add_string head (Printf.sprintf "HTTP/1.1 %d %s\r\n" code (Status.phrase code));
      Head.write head fields;
      Output.strings conn.output [ Buffer.contents head ]

let early_hints r headers =
  let conn = r.conn in
  if conn.head_end = max_int then
    interim conn ~version:r.head.request.version 103 (H.to_list headers)

let make_request conn (head : Head.request) scope =
  let limits = conn.server.limits in
  let ask () = interim conn ~version:`HTTP_1_1 100 [] in
  let ask = if head.expects then Some ask else None in
  let id = Soil.Private.new_identifier () in
  conn.current_id <- id;
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
    id;
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
    Soil.Task.Local.with_ Soil.Private.request_id request.id @@ fun () ->
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
      | _ -> (
          match e with
          (* What came of the request's body: no other response can be given any more. *)
          | Head.Refused _ -> Soil_backtrace.raise Response.Cut
          | e -> Soil_backtrace.reraise e backtrace))

(* Before there is a request. *)
let refuse ?(headers = H.init ()) conn status =
  let started = Soil.Clock.monotonic () and sent_before = Output.sent conn.output in
  let e = { status; detail = None; headers; cause = None; request = None } in
  let response = rendered conn.server.on_refusal e in
  send conn response ~version:`HTTP_1_1 ~head_only:false ~keep:false;
  note conn None response.status ~started ~sent_before
