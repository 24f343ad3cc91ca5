module F = Http2_frame

type role = Server | Client
type reset = By_peer of F.error | By_this_end of F.error | Too_large | Not_seen | Connection_over

(* What has come of a message. *)
type receiving = Head | Body | Received

type stream = {
  mutable id : int;
  mutable receiving : receiving;
  mutable is_sent : bool;
  mutable reset : reset option;
  mutable send_window : int;
  mutable window : int; (* Bytes that the peer may send before any is read. *)
  mutable receive_window : int;
  mutable consumed : int; (* Bytes for which the peer got no window yet. *)
  mutable expected : int; (* Bytes to come by [content-length], or -1. *)
  mutable bytes : bytes;
  mutable first : int; (* Bytes [first … last - 1] are unread. *)
  mutable last : int;
  mutable head_size : int;
  mutable fields_size : int; (* Of all heads, and of trailers. *)
  mutable trailers : (string * string) list;
  mutable urgency : int;
  mutable incremental : bool;
  mutable changed : unit -> unit;
}

type events = {
  on_head : stream -> (string * string) list -> last:bool -> unit;
  on_large_head : stream -> unit;
  on_room : unit -> unit;
  on_goaway : F.error -> unit;
}

exception Failed of F.error * string

(* What a stranger may do for free. It grows by time, and by what this end has done for the peer. *)
type allowance = { mutable left : float; mutable since : float }

(* Which head the fragments belong to that have come. *)
type fragments = { stream : int; flags : int; depends_on_itself : bool; block : Http2_block.t }

type t = {
  role : role;
  limits : Limits.t;
  events : events;
  output : Buffer.t;
  decoder : Hpack.decoder;
  encoder : Hpack.encoder;
  table : (int, stream) Hashtbl.t;
  ended : int array; (* The streams that this end has reset last, in a ring. *)
  mutable ended_at : int;
  mutable preface : int; (* Bytes of it that have to come. *)
  mutable has_settings : bool;
  mutable fragments : fragments option;
  mutable last_peer : int; (* The last stream that the peer has opened. *)
  mutable last_own : int;
  mutable unnumbered : int; (* The last number of a stream without a head; they go down from -1. *)
  mutable opened : int;
  mutable send_window : int;
  mutable receive_window : int;
  mutable consumed : int;
  mutable held : int;
  mutable heads : int; (* Bytes, of [held]. *)
  mutable peer_window : int; (* The first window of a stream. *)
  mutable peer_frame : int;
  mutable peer_streams : int;
  mutable peer_has_connect : bool;
  mutable has_sent_goaway : bool;
  mutable goaway_last : int; (* Streams of the peer beyond it are ignored. *)
  mutable own_resets : int; (* That no response of a server has made up for. *)
  mutable is_over : bool;
  allowance : allowance;
  mutable updates : int; (* Window updates that data sent explains. *)
  mutable cut_bytes : int; (* of frames that a window has cut, and that don't explain one yet *)
  mutable now : float;
}

let id s = s.id
let on_change s f = s.changed <- f
let reset_of s = s.reset
let output t = t.output
let is_over t = t.is_over
let own_resets t = t.own_resets
let streams t = Hashtbl.length t.table
let opened t = t.opened
let max_streams t = t.peer_streams
let peer_has_connect t = t.peer_has_connect
let has_settings t = t.has_settings
let held t = t.held
let is_in_head t = Option.is_some t.fragments || not t.has_settings
let unread s = s.last - s.first
let window s = s.window
let fields_size s = s.fields_size
let is_received s = s.receiving = Received
let trailers s = s.trailers
let priority s = (s.urgency, s.incremental)
let is_sent s = s.is_sent
let connection_window (limits : Limits.t) = max F.default_window limits.http2.window_bytes
let stream_window (limits : Limits.t) = max 16384 limits.http2.stream_bytes

(* A client's grows, as there is memory for it ([widen]). *)
let first_window role limits =
  match role with
  | Server -> stream_window limits
  | Client -> min F.default_window (stream_window limits)

let peer_streams_at_first = 100
let bytes_per_update = 128

let create role (limits : Limits.t) events =
  let l = limits.http2 and output = Buffer.create 256 in
  let common =
    [
      (F.header_table_size, l.table_bytes);
      (F.initial_window_size, first_window role limits);
      (F.max_header_list_size, limits.head_bytes);
    ]
  in
  (match role with
  | Server ->
      F.add_settings output
        (common
        @ [
            (F.max_concurrent_streams, l.streams);
            (F.enable_connect_protocol, 1);
            (F.no_rfc7540_priorities, 1);
          ])
  | Client ->
      Buffer.add_string output F.preface;
      F.add_settings output (common @ [ (F.enable_push, 0) ]));
  let window = connection_window limits in
  if window > F.default_window then F.add_window_update output ~stream:0 (window - F.default_window);
  {
    role; limits; events; output; decoder = Hpack.decoder ~table_bytes:l.table_bytes;
    encoder = Hpack.encoder (); table = Hashtbl.create 8; ended = Array.make (2 * l.streams) 0; ended_at = 0;
    preface = (if role = Server then String.length F.preface else 0);
    has_settings = false; fragments = None; last_peer = 0; last_own = -1; unnumbered = 0; opened = 0;
    send_window = F.default_window; receive_window = window; consumed = 0; held = 0; heads = 0;
    peer_window = F.default_window; peer_frame = F.least_max_frame; peer_streams = peer_streams_at_first;
    peer_has_connect = false; has_sent_goaway = false;
    goaway_last = max_int;
    own_resets = 0; is_over = false;
    allowance = { left = float_of_int l.odd_frames; since = 0. }; updates = 0; cut_bytes = 0; now = 0.;
  }
[@@ocamlformat "disable"]

(* Errors *)

let goaway t error =
  if not t.has_sent_goaway then (
    t.has_sent_goaway <- true;
    t.is_over <- true;
    t.goaway_last <- min t.goaway_last t.last_peer;
    F.add_goaway t.output ~last:t.goaway_last error)

let fail t error reason =
  (* Also after one without an error. *)
  t.has_sent_goaway <- false;
  goaway t error;
  Soil_backtrace.raise (Failed (error, reason))

let protocol t reason = fail t F.Protocol_error reason
let wrong_size t reason = fail t F.Frame_size_error reason

(* Frames that cost more here than there *)

let charge ?(n = 1.) t =
  let a = t.allowance and l = t.limits.http2 in
  let earned = (t.now -. a.since) *. float_of_int l.odd_frames_per_second in
  a.since <- t.now;
  a.left <- Float.min (float_of_int l.odd_frames) (a.left +. Float.max 0. earned) -. n;
  if a.left < 0. then fail t F.Enhance_your_calm "too many frames of no use"

let earn t = t.allowance.left <- t.allowance.left +. 1.

(* Windows of this end *)

(* The peer may send [n] bytes more on the connection. *)
let give_back t n =
  t.consumed <- t.consumed + n;
  if 2 * t.consumed >= connection_window t.limits then (
    F.add_window_update t.output ~stream:0 t.consumed;
    t.receive_window <- t.receive_window + t.consumed;
    t.consumed <- 0)

let replenish t (s : stream) n =
  give_back t n;
  if s.receiving = Body && s.reset = None then (
    s.consumed <- s.consumed + n;
    if 2 * s.consumed >= s.window then (
      F.add_window_update t.output ~stream:s.id s.consumed;
      s.receive_window <- s.receive_window + s.consumed;
      s.consumed <- 0))

let wider t (s : stream) =
  if s.receiving = Body && s.reset = None && s.first = s.last then
    min s.window (stream_window t.limits - s.window)
  else 0

let widen t (s : stream) n =
  F.add_window_update t.output ~stream:s.id n;
  s.window <- s.window + n;
  s.receive_window <- s.receive_window + n

(* Discards the bytes that weren't read. *)
let drop_bytes t (s : stream) =
  let n = unread s in
  t.held <- t.held - Bytes.length s.bytes;
  s.bytes <- Bytes.empty;
  s.first <- 0;
  s.last <- 0;
  if n > 0 then replenish t s n

let drop_head t s =
  t.held <- t.held - s.head_size;
  t.heads <- t.heads - s.head_size;
  s.head_size <- 0

(* Memory follows what has come, and not the number of frames. *)
let append t (s : stream) b off len =
  let n = unread s in
  if s.last + len > Bytes.length s.bytes then (
    let size = Bytes.length s.bytes in
    let larger () = Bytes.create (max (min (2 * size) s.window) (n + len)) in
    let bytes = if n + len <= size then s.bytes else larger () in
    t.held <- t.held + Bytes.length bytes - size;
    Bytes.blit s.bytes s.first bytes 0 n;
    s.bytes <- bytes;
    s.first <- 0;
    s.last <- n);
  Bytes.blit b off s.bytes s.last len;
  s.last <- s.last + len

let take t (s : stream) blit n =
  let n = min n (unread s) in
  if n > 0 then (
    blit s.bytes s.first n;
    s.first <- s.first + n;
    if s.first = s.last then drop_bytes t s;
    replenish t s n);
  n

(* Streams *)

let new_stream t id =
  let window = first_window t.role t.limits in
  let s =
    {
      id; receiving = Head; is_sent = false; reset = None; send_window = t.peer_window;
      window; receive_window = window; consumed = 0; expected = -1; bytes = Bytes.empty;
      first = 0; last = 0; head_size = 0; fields_size = 0; trailers = []; urgency = 3; incremental = false; changed = ignore;
    }
  in
  Hashtbl.replace t.table id s;
  s
[@@ocamlformat "disable"]

let forget t s =
  if Hashtbl.mem t.table s.id then (
    Hashtbl.remove t.table s.id;
    drop_head t s)

let forget_if_over t s =
  if s.is_sent && s.receiving = Received then (
    earn t;
    t.own_resets <- max 0 (t.own_resets - 1);
    forget t s)

(* The peer may have sent more before it learns of the end. *)
let add_reset t id error =
  F.add_rst_stream t.output ~stream:id error;
  t.ended.(t.ended_at) <- id;
  t.ended_at <- (t.ended_at + 1) mod Array.length t.ended

let end_early t s reason =
  if s.reset = None && Hashtbl.mem t.table s.id then (
    s.reset <- Some reason;
    forget t s;
    drop_bytes t s;
    s.changed ())

let has_number s = s.id >= 0

let reset_as t s error reason =
  if s.reset = None && Hashtbl.mem t.table s.id then (
    if has_number s then (
      add_reset t s.id error;
      t.own_resets <- t.own_resets + 1);
    end_early t s reason)

let reset t s error = reset_as t s error (By_this_end error)

(* The peer's mistake, for which it may not make this end work for ever (CVE-2025-8671). *)
let refuse t s error =
  charge t;
  reset t s error

let refuse_large t s = reset_as t s F.Cancel Too_large

let refuse_id t id error =
  charge t;
  add_reset t id error

let release t s =
  if not (s.is_sent && s.receiving = Received) then
    reset t s (if t.role = Server && s.is_sent then F.No_error else F.Cancel);
  drop_bytes t s

let end_all t =
  t.is_over <- true;
  let all = Hashtbl.fold (fun _ s l -> s :: l) t.table [] in
  List.iter (fun s -> end_early t s Connection_over) all

let open_stream t =
  if t.is_over || streams t >= t.peer_streams then invalid_arg "Soil_http: no stream can be opened";
  t.unnumbered <- t.unnumbered - 1;
  new_stream t t.unnumbered

(* Numbers follow the order of heads: with a head the streams below it end that have none (RFC 9113
   §5.1.1). *)
let number t s =
  t.last_own <- t.last_own + 2;
  (* The numbers are used up, but for the streams that are open. *)
  if t.last_own >= F.largest_window - 4096 then t.is_over <- true;
  Hashtbl.remove t.table s.id;
  s.id <- t.last_own;
  Hashtbl.replace t.table s.id s

(* The other end's streams that aren't any more. *)
let was_reset t id =
  id > t.goaway_last
  ||
  match t.role with
  | Server -> Array.exists (fun other -> other = id) t.ended
  (* A server isn't trusted to keep count. *)
  | Client -> true

let is_idle t id =
  match t.role with
  | Server -> id land 1 = 0 || id > t.last_peer
  | Client -> id land 1 = 0 || id > t.last_own

let set_priority s value =
  let parameter p =
    match String.trim p with
    | "i" | "i=?1" -> s.incremental <- true
    | "i=?0" -> s.incremental <- false
    | p when String.length p = 3 && p.[0] = 'u' && p.[1] = '=' && p.[2] >= '0' && p.[2] <= '7' ->
        s.urgency <- Char.code p.[2] - Char.code '0'
    | _ -> ()
  in
  List.iter parameter (String.split_on_char ',' value)

let expect (s : stream) length =
  if s.receiving = Head then s.receiving <- Body;
  s.expected <- Option.value length ~default:(-1)

let end_receiving t s =
  if s.expected > 0 then refuse t s F.Protocol_error
  else (
    s.receiving <- Received;
    forget_if_over t s;
    s.changed ())

(* Sending *)

let room t (s : stream) =
  if s.reset <> None || s.is_sent then 0
  else max 0 (min t.peer_frame (min t.send_window s.send_window))

let ended_by t (s : stream) ~last =
  if last then (
    s.is_sent <- true;
    forget_if_over t s)

let send_head t (s : stream) fields ~last =
  if s.reset = None && not s.is_sent then (
    if not (has_number s) then number t s;
    let block = Buffer.create 256 in
    Hpack.encode t.encoder block fields;
    let length = Buffer.length block in
    let rec fragments kind off =
      let n = min t.peer_frame (length - off) in
      let flags = if off + n = length then F.end_headers else 0 in
      let flags = if last && off = 0 then flags lor F.end_stream else flags in
      F.add_header t.output ~length:n ~kind ~flags ~stream:s.id;
      Buffer.add_string t.output (Buffer.sub block off n);
      if off + n < length then fragments F.continuation (off + n)
    in
    fragments F.headers 0;
    ended_by t s ~last)

let send_data t (s : stream) b off len ~last =
  if s.reset = None && not s.is_sent then (
    let flags = if last then F.end_stream else 0 in
    F.add_header t.output ~length:len ~kind:F.data ~flags ~stream:s.id;
    Buffer.add_subbytes t.output b off len;
    t.send_window <- t.send_window - len;
    s.send_window <- s.send_window - len;
    (* Not for the few bytes that its windows leave (CVE-2019-9511): these count together. *)
    let is_whole = last || (t.send_window > 0 && s.send_window > 0) in
    if not is_whole then t.cut_bytes <- t.cut_bytes + len;
    t.updates <- (t.updates + if is_whole then 2 else t.cut_bytes / bytes_per_update);
    t.cut_bytes <- t.cut_bytes mod bytes_per_update;
    ended_by t s ~last)

(* Receiving: heads *)

let size_of fields =
  List.fold_left (fun n (name, value) -> n + String.length name + String.length value + 32) 0 fields

(* A head beyond the limits counts as so many frames: it may name an entry of the table 16,000 times
   (CVE-2026-49975), each of which is read. So does each further frame of that size. *)
let large_head = 10.

let charge_skipped t len =
  charge t ~n:(Float.max 1. (large_head *. float_of_int len /. float_of_int F.least_max_frame))

let decoded t f = try f () with Hpack.Error reason -> fail t F.Compression_error reason
let is_pseudo (name, _) = String.length name > 0 && name.[0] = ':'

let trailing_head t s fields ~last =
  match fields with
  | _ when s.receiving = Received -> refuse t s F.Stream_closed
  | Some fields when last && not (List.exists is_pseudo fields) ->
      (* A server has no use for them. *)
      if t.role = Client then (
        s.fields_size <- s.fields_size + size_of fields;
        s.trailers <- fields);
      end_receiving t s
  | Some _ -> refuse t s F.Protocol_error
  | None -> refuse_large t s

let first_head t s fields ~last =
  match fields with
  | None ->
      if last then s.receiving <- Received;
      t.events.on_large_head s
  | Some fields ->
      let size = size_of fields in
      s.head_size <- s.head_size + size;
      s.fields_size <- s.fields_size + size;
      t.held <- t.held + size;
      t.heads <- t.heads + size;
      t.events.on_head s fields ~last;
      if last && s.receiving <> Received && s.reset = None then end_receiving t s

let new_head t id fields ~last =
  t.last_peer <- id;
  t.opened <- t.opened + 1;
  let size = match fields with Some fields -> size_of fields | None -> 0 in
  if t.has_sent_goaway then ()
  else if
    streams t >= t.limits.http2.streams
    || (t.heads > 0 && t.heads + size > t.limits.http2.heads_bytes)
  then refuse_id t id F.Refused_stream
  else first_head t (new_stream t id) fields ~last

(* [fields] is [None] if they exceed the limits. *)
let head t ~stream:id ~flags ~depends_on_itself fields =
  let last = flags land F.end_stream <> 0 in
  if fields = None then charge t ~n:large_head;
  match Hashtbl.find_opt t.table id with
  | Some s when depends_on_itself -> refuse t s F.Protocol_error
  | Some s -> (
      match (t.role, s.receiving) with
      | Client, Head -> first_head t s fields ~last
      | _ -> trailing_head t s fields ~last)
  | None ->
      if t.role = Server && id land 1 = 1 && id > t.last_peer then
        if depends_on_itself then (
          t.last_peer <- id;
          refuse_id t id F.Protocol_error)
        else new_head t id fields ~last
      else if is_idle t id then protocol t "a head on a stream of the other end"
      else if was_reset t id then (if t.role = Server && id <= t.goaway_last then charge t)
      else fail t F.Stream_closed "a head on a stream that has ended"

(* The part of a frame without its padding. *)
let unpadded t ~flags b off len =
  if flags land F.padded = 0 then (off, len)
  else if len = 0 then wrong_size t "padding without its length"
  else
    let padding = Bytes.get_uint8 b off in
    if padding >= len then protocol t "more padding than frame" else (off + 1, len - 1 - padding)

let add_part t block b off len =
  let before = Http2_block.held block in
  decoded t (fun () -> Http2_block.add block b off len);
  t.held <- t.held + Http2_block.held block - before

let on_headers t ~flags ~stream b off len =
  if stream = 0 then protocol t "HEADERS on stream 0";
  let off, len = unpadded t ~flags b off len in
  let priority = if flags land F.has_priority <> 0 then 5 else 0 in
  if len < priority then wrong_size t "HEADERS without its priority";
  let depends_on_itself = priority > 0 && F.u31 b off = stream in
  let off = off + priority and len = len - priority in
  if flags land F.end_headers <> 0 then
    head t ~stream ~flags ~depends_on_itself
      (decoded t (fun () -> Http2_block.decode t.decoder t.limits b off len))
  else
    let block = Http2_block.create t.decoder t.limits in
    add_part t block b off len;
    t.fragments <- Some { stream; flags; depends_on_itself; block }

let on_continuation t ~flags ~stream b off len =
  match t.fragments with
  | Some ({ block; depends_on_itself; _ } as f) when f.stream = stream ->
      add_part t block b off len;
      if Http2_block.is_skipped block then charge_skipped t len else if len = 0 then charge t;
      if flags land F.end_headers <> 0 then (
        t.fragments <- None;
        t.held <- t.held - Http2_block.held block;
        let fields = decoded t (fun () -> Http2_block.fields block) in
        head t ~stream ~flags:f.flags ~depends_on_itself fields)
  | Some _ | None -> protocol t "CONTINUATION without HEADERS"

(* Receiving: bodies *)

let body t s ~flags b off len ~whole =
  let last = flags land F.end_stream <> 0 in
  match s.receiving with
  | Received ->
      give_back t whole;
      refuse t s F.Stream_closed
  | Head ->
      give_back t whole;
      refuse t s F.Protocol_error
  | Body ->
      s.receive_window <- s.receive_window - whole;
      if s.receive_window < 0 then (
        give_back t whole;
        refuse t s F.Flow_control_error)
      else if s.expected >= 0 && len > s.expected then (
        give_back t whole;
        refuse t s F.Protocol_error)
      else (
        if s.expected >= 0 then s.expected <- s.expected - len;
        if len > 0 then append t s b off len;
        if whole > len then replenish t s (whole - len);
        if last then end_receiving t s else s.changed ())

let on_data t ~flags ~stream b off whole =
  if stream = 0 then protocol t "DATA on stream 0";
  let off, len = unpadded t ~flags b off whole in
  if len = 0 && flags land F.end_stream = 0 then charge t;
  t.receive_window <- t.receive_window - whole;
  if t.receive_window < 0 then fail t F.Flow_control_error "more DATA than the window";
  match Hashtbl.find_opt t.table stream with
  | Some s -> body t s ~flags b off len ~whole
  | None ->
      if is_idle t stream then protocol t "DATA on an idle stream"
      else if was_reset t stream then give_back t whole
      else fail t F.Stream_closed "DATA on a stream that has ended"

(* Receiving: the rest *)

let find t id what =
  if id = 0 then protocol t (what ^ " on stream 0");
  if is_idle t id then protocol t (what ^ " on an idle stream");
  Hashtbl.find_opt t.table id

let on_priority t ~stream b off len =
  charge t;
  if stream = 0 then protocol t "PRIORITY on stream 0";
  match Hashtbl.find_opt t.table stream with
  | Some s when len <> 5 -> refuse t s F.Frame_size_error
  | Some s when F.u31 b off = stream -> refuse t s F.Protocol_error
  | Some _ -> ()
  | None ->
      if len <> 5 then wrong_size t "PRIORITY not of 5 bytes";
      if F.u31 b off = stream then protocol t "a stream that depends on itself"

let on_rst_stream t ~stream b off len =
  if len <> 4 then wrong_size t "RST_STREAM not of 4 bytes";
  let s = find t stream "RST_STREAM" in
  let error = F.error_of_int (F.u32 b off) in
  (* A response that is over before the request is (RFC 9113 §8.1). *)
  let is_regular = t.role = Client && error = F.No_error in
  if not is_regular then charge t;
  match s with
  | Some s when is_regular && s.receiving = Received -> s.is_sent <- true; forget t s; s.changed ()
  | Some s -> end_early t s (if error = F.Refused_stream then Not_seen else By_peer error)
  | None -> ()
[@@ocamlformat "disable"]

let widen_all t by =
  Hashtbl.iter
    (fun _ (s : stream) ->
      s.send_window <- s.send_window + by;
      if s.send_window > F.largest_window then
        fail t F.Flow_control_error "a window beyond the largest")
    t.table;
  if by > 0 then (
    Hashtbl.iter (fun _ (s : stream) -> s.changed ()) t.table;
    t.events.on_room ())

(* Of many values of one setting only the last one counts, and so does the work. *)
let on_settings t ~flags ~stream b off len =
  if stream <> 0 then protocol t "SETTINGS on a stream";
  if flags land F.ack <> 0 then (
    charge t;
    if len <> 0 then wrong_size t "SETTINGS with ACK and values")
  else (
    if len mod 6 <> 0 then wrong_size t "SETTINGS not of pairs";
    if t.has_settings then charge t ~n:(1. +. (float_of_int len /. 60.));
    t.has_settings <- true;
    let window = ref t.peer_window in
    for i = 0 to (len / 6) - 1 do
      let at = off + (6 * i) in
      let id = Bytes.get_uint16_be b at and value = F.u32 b (at + 2) in
      if id = F.header_table_size then Hpack.set_table_size t.encoder value
      else if id = F.enable_push then (
        if value > if t.role = Server then 1 else 0 then protocol t "ENABLE_PUSH")
      else if id = F.max_concurrent_streams then t.peer_streams <- value
      else if id = F.initial_window_size then (
        if value > F.largest_window then fail t F.Flow_control_error "INITIAL_WINDOW_SIZE";
        window := value)
      else if id = F.max_frame_size then (
        if value < F.least_max_frame || value > 0xffffff then protocol t "MAX_FRAME_SIZE";
        (* Larger ones would only delay other streams. *)
        t.peer_frame <- F.least_max_frame)
      else if id = F.enable_connect_protocol then (
        if value > 1 then protocol t "ENABLE_CONNECT_PROTOCOL";
        t.peer_has_connect <- value = 1)
    done;
    let by = !window - t.peer_window in
    t.peer_window <- !window;
    F.add_settings_ack t.output;
    widen_all t by;
    t.events.on_room ())

let on_ping t ~flags ~stream b off len =
  if stream <> 0 then protocol t "PING on a stream";
  if len <> 8 then wrong_size t "PING not of 8 bytes";
  if t.updates > 0 then t.updates <- t.updates - 1 else charge t;
  if flags land F.ack = 0 then F.add_ping_ack t.output b off

let on_goaway t ~stream b off len =
  if stream <> 0 then protocol t "GOAWAY on a stream";
  if len < 8 then wrong_size t "GOAWAY of less than 8 bytes";
  charge t;
  let last = F.u31 b off and error = F.error_of_int (F.u32 b (off + 4)) in
  t.is_over <- true;
  (if t.role = Client then
     let unseen =
       Hashtbl.fold (fun id s l -> if id > last || id < 0 then s :: l else l) t.table []
     in
     List.iter (fun s -> end_early t s Not_seen) unseen);
  t.events.on_goaway error

let on_window_update t ~stream b off len =
  if len <> 4 then wrong_size t "WINDOW_UPDATE not of 4 bytes";
  if t.updates > 0 then t.updates <- t.updates - 1 else charge t;
  let by = F.u31 b off in
  if stream = 0 then (
    if by = 0 then protocol t "WINDOW_UPDATE of 0";
    t.send_window <- t.send_window + by;
    if t.send_window > F.largest_window then
      fail t F.Flow_control_error "a window beyond the largest";
    t.events.on_room ())
  else
    match find t stream "WINDOW_UPDATE" with
    | None -> ()
    | Some s when by = 0 -> refuse t s F.Protocol_error
    | Some s when s.send_window + by > F.largest_window -> refuse t s F.Flow_control_error
    | Some s ->
        s.send_window <- s.send_window + by;
        s.changed ()

(* RFC 9218 §7.1. What it says of a stream that hasn't begun isn't kept. *)
let on_priority_update t ~stream b off len =
  charge t;
  if stream <> 0 then protocol t "PRIORITY_UPDATE on a stream";
  if len < 4 then wrong_size t "PRIORITY_UPDATE of less than 4 bytes";
  if t.role = Client then protocol t "PRIORITY_UPDATE of a server";
  let id = F.u31 b off in
  if id = 0 then protocol t "PRIORITY_UPDATE of stream 0";
  match Hashtbl.find_opt t.table id with
  | Some s when len <= 256 -> set_priority s (Bytes.sub_string b (off + 4) (len - 4))
  | Some _ | None -> ()

let frame t ~kind ~flags ~stream b off len =
  if kind = F.data then on_data t ~flags ~stream b off len
  else if kind = F.headers then on_headers t ~flags ~stream b off len
  else if kind = F.continuation then on_continuation t ~flags ~stream b off len
  else if kind = F.window_update then on_window_update t ~stream b off len
  else if kind = F.settings then on_settings t ~flags ~stream b off len
  else if kind = F.ping then on_ping t ~flags ~stream b off len
  else if kind = F.rst_stream then on_rst_stream t ~stream b off len
  else if kind = F.priority then on_priority t ~stream b off len
  else if kind = F.goaway then on_goaway t ~stream b off len
  else if kind = F.priority_update then on_priority_update t ~stream b off len
  else if kind = F.push_promise then protocol t "PUSH_PROMISE"
  else charge t

let check_order t ~kind ~flags =
  if (not t.has_settings) && not (kind = F.settings && flags land F.ack = 0) then
    protocol t "no SETTINGS at first";
  if Option.is_some t.fragments && kind <> F.continuation then
    protocol t "another frame within a head"

(* The connection begins with a text that servers of other versions refuse. *)
let receive_preface t b off len =
  let n = min t.preface len in
  let at = String.length F.preface - t.preface in
  if Bytes.sub_string b off n <> String.sub F.preface at n then protocol t "not the preface";
  t.preface <- t.preface - n;
  n

let receive t ~now b off len =
  t.now <- now;
  let stop = off + len in
  let rec go at =
    if stop - at < F.header_bytes then at
    else
      let length = F.u24 b at in
      if length > F.least_max_frame then wrong_size t "a frame of more than 16384 bytes";
      let next = at + F.header_bytes + length in
      if next > stop then at
      else
        let kind = Bytes.get_uint8 b (at + 3) and flags = Bytes.get_uint8 b (at + 4) in
        check_order t ~kind ~flags;
        frame t ~kind ~flags ~stream:(F.u31 b (at + 5)) b (at + F.header_bytes) length;
        go next
  in
  let start = if t.preface > 0 then off + receive_preface t b off len else off in
  if t.preface > 0 then start - off else go start - off
