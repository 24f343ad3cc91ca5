(** Requests over HTTP/2. Private to [soil-http]; {!Http2} documents it. *)

module C = Http2_connection
module F = Http2_frame
module Link = Http2_link
module D = Soil.File_descriptor
module H = Cohttp.Header

(* A request whose stream is open. *)
type asked = {
  stream : Link.stream;
  meth : Cohttp.Code.meth;
  heads : Head.response Queue.t;
  mutable key : string option; (* Of an upgrade to WebSocket. *)
}

(* The answer to an extended CONNECT, as one to an upgrade. *)
let upgraded asked (head : Head.response) =
  match asked.key with
  | Some key when head.status = 200 ->
      let fields = [ ("upgrade", "websocket"); ("sec-websocket-accept", Sha1.accept_key key) ] in
      { head with status = 101; headers = H.add_list head.headers fields }
  | _ -> head

(* Of interim responses that aren't read yet. *)
let max_heads = 8

let on_head asked (link : Link.t) stream fields ~last =
  Link.count_fields asked.stream;
  match Http2_head.response fields ~last ~meth:asked.meth with
  | head ->
      (if head.status >= 200 && not last then
         match head.framing with
         | Length n when asked.meth <> `HEAD -> C.expect stream (Some n)
         | Length _ | Chunked | To_end -> C.expect stream None);
      if Queue.length asked.heads >= max_heads then C.refuse link.conn stream F.Enhance_your_calm
      else Queue.push (upgraded asked head) asked.heads
  | exception (Http2_head.Malformed | Head.Refused _) -> C.refuse link.conn stream F.Protocol_error

let fail_reset asked =
  match C.reset_of asked.stream.stream with
  | Some Not_seen -> raise Exchange.Not_seen
  | Some Connection_over -> raise Exchange.Nothing_came
  | Some (By_this_end _) -> Soil_backtrace.raise (Head.Refused `Bad_request)
  | Some (By_peer _ | Too_large) | None -> Link.fail_reset asked.stream "read"

let next_head asked () =
  let is_there () = not (Queue.is_empty asked.heads) in
  let ready () = is_there () || Link.is_reset asked.stream in
  Link.await asked.stream ready;
  if not (is_there ()) then fail_reset asked;
  Queue.pop asked.heads

let trailers asked () =
  let stream = asked.stream.stream in
  Link.await asked.stream (fun () -> C.is_received stream || Link.is_reset asked.stream);
  if C.reset_of stream = Some Too_large then fail_reset asked;
  match Http2_head.trailers (C.trailers stream) with
  | trailers -> trailers
  | exception Http2_head.Malformed -> Soil_backtrace.raise (Head.Refused `Bad_request)

let send_head asked ~scheme ~sent text ~last =
  let fields, key = Http2_head.of_text text ~scheme in
  let s = asked.stream in
  Option.iter (fun (asked : Link.asked) -> asked.is_request <- Option.is_none key) s.asked;
  if Option.is_some key then (
    asked.key <- key;
    Link.await s (fun () -> C.has_settings s.link.conn || Link.is_reset s);
    if not (C.peer_has_connect s.link.conn) then Soil_backtrace.raise Exchange.No_upgrade);
  (* The stream of an upgrade stays open for what follows. *)
  Link.send_head s fields ~sent ~last:(last && Option.is_none key)

(* A server of which nothing has come since [received] may be gone. *)
let suspect (link : Link.t) ~received () = if link.received = received then Link.fail link Link.Over

let conn asked (limits : Limits.t) ~scheme ~sent ~release : Exchange.conn =
  let input = Input.unbuffered (Link.flow asked.stream :> D.flow) in
  let output = Output.create input ~seconds:limits.write_seconds in
  let stream =
    {
      Exchange.send_head = send_head asked ~scheme ~sent;
      send_piece = Link.send_piece asked.stream;
      send_end = (fun () -> Link.send_end asked.stream []);
      next_head = next_head asked;
      trailers = trailers asked;
      suspect = suspect asked.stream.link ~received:asked.stream.link.received;
      release;
    }
  in
  { input; output; wire = Version_2 stream; since = 0. }

let start (limits : Limits.t) ~scheme flow : Exchange.session =
  (* By the numbers of their streams. *)
  let asked = Hashtbl.create 8 and users = ref 0 in
  let the stream f = Option.iter f (Hashtbl.find_opt asked (C.id stream)) in
  let on_head link stream fields ~last =
    the stream (fun asked -> on_head asked link stream fields ~last)
  and on_large_head (link : Link.t) stream = C.refuse_large link.conn stream in
  let input = Input.create flow in
  let link = Link.create By_users C.Client limits input ~on_head ~on_large_head in
  let open_stream ~meth =
    let stream = Link.make ~asked:(Link.asked ()) link (C.open_stream link.conn) in
    let request = { stream; meth; heads = Queue.create (); key = None } in
    let is_open = ref true in
    incr users;
    let sent () = if !is_open then Hashtbl.replace asked (C.id stream.stream) request in
    let release () =
      if !is_open then (
        is_open := false;
        decr users;
        Hashtbl.remove asked (C.id stream.stream);
        Link.release stream)
    in
    Soil.Private.undoing release (fun () -> Link.reserve stream);
    conn request limits ~scheme ~sent ~release
  in
  {
    has_room = (fun () -> C.streams link.conn < C.max_streams link.conn);
    is_over = (fun () -> Link.is_over link || C.own_resets link.conn > limits.http2.odd_frames / 2);
    is_used = (fun () -> !users > 0);
    check = (fun () -> Link.poll link);
    open_stream;
    close = (fun () -> D.close flow);
    unused_since = Soil.Clock.monotonic ();
  }

let client ?protocol () : Exchange.http2 =
  let speaks ~scheme flow =
    match protocol with
    | None -> true
    | Some protocol -> scheme = "https" && protocol flow = Some "h2"
  in
  { speaks; start }
