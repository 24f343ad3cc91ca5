(* Connections of random frames, allowed ones and others, with a random program behind: nothing but
   errors of streams and of the connection comes of them, and each answer is one that HTTP/2 allows
   then. HTTP2_CONNECTIONS is the number of connections with damaged bytes. *)

module C = Http2_connection
module F = Http2_frame
module R = Random.State

let limits =
  let l = Server.default_limits in
  { l with http2 = { l.http2 with streams = 20; window_bytes = 100_000; odd_frames = 60 } }

let largest_frame = F.header_bytes + F.least_max_frame

(* What a connection may hold: the heads and another one, bodies, of which the buffer may be twice
   as large, and the parts of a head. *)
let max_held =
  limits.http2.heads_bytes + limits.head_bytes + (80 * limits.fields)
  + (2 * limits.http2.window_bytes) + (2 * limits.head_bytes) + F.least_max_frame

(* What is known of a stream at the peer. *)
type theirs = {
  mutable window : int; (* for DATA to the peer *)
  mutable credit : int; (* for DATA of the peer *)
  mutable has_ended : bool; (* by the connection *)
  mutable is_open : bool; (* The peer has more to send. *)
  mutable has_head : bool;
}

type t = {
  r : R.t;
  role : C.role;
  conn : C.t;
  live : C.stream list ref; (* that the program has *)
  has_sent_head : (int, unit) Hashtbl.t;
  encoder : Hpack.encoder; (* the peer's *)
  decoder : Hpack.decoder;
  pending : Buffer.t; (* of the peer's bytes *)
  streams : (int, theirs) Hashtbl.t;
  pings : string Queue.t;
  mutable initial : int; (* window of the peer *)
  mutable window : int;
  mutable credit : int;
  mutable next : int; (* stream *)
  mutable settings : int; (* not acknowledged *)
  mutable is_known : bool; (* The peer's state follows from what it sent. *)
  mutable now : float;
  mutable goaway : F.error option;
  mutable frames : int;
}

let check what condition = if not condition then failwith what
let chance t n = R.int t.r n = 0
let pick t a = a.(R.int t.r (Array.length a))
let stream_window = max 16384 (limits.http2.window_bytes / 4)

let frame ?(flags = 0) ?(stream = 0) kind payload =
  let b = Buffer.create 32 in
  F.add_header b ~length:(String.length payload) ~kind ~flags ~stream;
  Buffer.add_string b payload;
  Buffer.contents b

let u32 n =
  let b = Bytes.create 4 in
  Bytes.set_int32_be b 0 (Int32.of_int n);
  Bytes.to_string b

(* What the connection sends *)

let block_of fragments ~max_fields d =
  let block = Bytes.of_string fragments in
  Hpack.decode d block 0 (Bytes.length block) ~max_bytes:max_int ~max_fields

let theirs t id =
  match Hashtbl.find_opt t.streams id with
  | Some s -> s
  | None ->
      let s =
        {
          window = t.initial;
          credit = stream_window;
          has_ended = false;
          is_open = true;
          has_head = false;
        }
      in
      Hashtbl.replace t.streams id s;
      s

let sent_frame t ~kind ~flags ~stream payload =
  let length = String.length payload in
  check "a frame beyond the peer's limit" (length <= F.least_max_frame);
  let s = theirs t stream in
  if stream > 0 && kind <> F.window_update && kind <> F.rst_stream then
    check "a frame on a stream that has ended" (not s.has_ended);
  if kind = F.data then (
    check "DATA before a head" s.has_head;
    s.window <- s.window - length;
    t.window <- t.window - length;
    if t.is_known && length > 0 then (
      check "DATA beyond the stream's window" (s.window >= 0);
      check "DATA beyond the connection's window" (t.window >= 0)))
  else if kind = F.headers then (
    check "END_HEADERS" (flags land F.end_headers <> 0);
    s.has_head <- true;
    check "no fields" (block_of payload ~max_fields:max_int t.decoder <> []))
  else if kind = F.rst_stream then s.has_ended <- true
  else if kind = F.window_update then (
    let by = Int32.to_int (String.get_int32_be payload 0) in
    check "a window update of nothing" (by > 0);
    if stream = 0 then (
      t.credit <- t.credit + by;
      if t.is_known then check "the connection's window" (t.credit <= limits.http2.window_bytes))
    else (
      s.credit <- s.credit + by;
      if t.is_known then check "a stream's window" (s.credit <= stream_window)))
  else if kind = F.ping then (
    check "a ping" (flags = F.ack);
    if t.is_known then check "the ping's bytes" (Queue.take t.pings = payload))
  else if kind = F.settings then (
    if flags land F.ack <> 0 then t.settings <- t.settings - 1;
    if t.is_known then check "settings acknowledged" (t.settings >= 0))
  else if kind = F.goaway then
    t.goaway <- Some (F.error_of_int (Int32.to_int (String.get_int32_be payload 4)))
  else check "an unknown frame" false;
  if (kind = F.data || kind = F.headers) && flags land F.end_stream <> 0 then s.has_ended <- true

let check_output t =
  let text = Buffer.contents (C.output t.conn) in
  Buffer.clear (C.output t.conn);
  let b = Bytes.of_string text in
  let rec go at =
    if at < String.length text then (
      check "a whole header" (String.length text - at >= F.header_bytes);
      let length = F.u24 b at in
      let payload = String.sub text (at + F.header_bytes) length in
      sent_frame t
        ~kind:(Bytes.get_uint8 b (at + 3))
        ~flags:(Bytes.get_uint8 b (at + 4))
        ~stream:(F.u31 b (at + 5))
        payload;
      t.frames <- t.frames + 1;
      go (at + F.header_bytes + length))
  in
  let preface = String.length F.preface in
  if String.starts_with ~prefix:F.preface text then go preface else go 0

let check_bounds t =
  check "too many streams" (t.role = Client || C.streams t.conn <= limits.http2.streams);
  let held = C.held t.conn in
  if held < 0 || held > max_held then Printf.ksprintf failwith "%d bytes held" held

(* The program *)

let forget t s = t.live := List.filter (fun other -> C.id other <> C.id s) !(t.live)

let respond t s =
  if C.reset_of s <> None || C.is_sent s then ()
  else if not (Hashtbl.mem t.has_sent_head (C.id s)) then (
    Hashtbl.replace t.has_sent_head (C.id s) ();
    let fields = [ (":status", "200"); ("x", String.make (R.int t.r 200) 'x') ] in
    let fields = if chance t 50 then ("large", String.make 40_000 'l') :: fields else fields in
    let fields = List.filter (fun (name, _) -> name <> "large") fields in
    C.send_head t.conn s fields ~last:(chance t 4))
  else
    let n = min (C.room t.conn s) (R.int t.r 20_000) in
    if chance t 8 then C.send_head t.conn s [ ("trailer", "t") ] ~last:true
    else C.send_data t.conn s (Bytes.create n) 0 n ~last:(chance t 4)

let program_step t =
  match !(t.live) with
  | [] -> ()
  | live -> (
      let s = List.nth live (R.int t.r (List.length live)) in
      match R.int t.r 12 with
      | 0 ->
          C.reset t.conn s F.Cancel;
          C.release t.conn s;
          forget t s
      | 1 ->
          C.release t.conn s;
          forget t s
      | 2 | 3 | 4 -> ignore (C.take t.conn s (fun _ _ _ -> ()) (R.int t.r 30_000))
      | 5 -> C.set_priority s "u=1, i"
      | _ -> respond t s)

(* The peer *)

let request t =
  let fields =
    [ (":method", "POST"); (":scheme", "http"); (":authority", "a"); (":path", "/") ]
    @ List.init (R.int t.r 5) (fun i -> ("name" ^ string_of_int i, String.make (R.int t.r 100) 'v'))
  in
  match R.int t.r 30 with
  | 0 -> List.init 150 (fun i -> ("n" ^ string_of_int i, ""))
  | 1 -> ("large", String.make 20_000 'l') :: fields
  | 2 -> []
  | _ -> fields

(* Mostly one on which the peer may send; -1 if there is none. *)
let some_stream t =
  match R.int t.r 1000 with
  | 0 -> 0
  | 1 -> 2 * R.int t.r 10
  | 2 -> t.next + (2 * R.int t.r 10)
  | 3 -> max 1 (t.next - 2 - (2 * R.int t.r 6))
  | _ -> (
      let is_open (id, s) = id > 0 && s.is_open && not s.has_ended in
      match List.filter is_open (List.of_seq (Hashtbl.to_seq t.streams)) with
      | [] -> -1
      | l -> fst (List.nth l (R.int t.r (List.length l))))

let on_stream t f = match some_stream t with -1 -> "" | stream -> f stream

(* What a frame says of the dependency of [stream]. *)
let dependency t stream = u32 (if chance t 50 then stream else 0) ^ "\x10"

(* Frames of a head: the parts of its block in HEADERS and CONTINUATION. *)
let head t ~stream ~last =
  if last then (theirs t stream).is_open <- false;
  let out = Buffer.create 100 in
  Hpack.encode t.encoder out (request t);
  let block = Buffer.contents out in
  let block = if chance t 500 then String.init 50 (fun _ -> Char.chr (R.int t.r 256)) else block in
  let part = if chance t 5 then 1 + R.int t.r 4000 else F.least_max_frame - 20 in
  let rec go at kind =
    let n = min part (String.length block - at) in
    let is_end = at + n = String.length block in
    let flags = if is_end then F.end_headers else 0 in
    let flags = if kind = F.headers && last then flags lor F.end_stream else flags in
    let payload = String.sub block at n in
    let flags, payload =
      if kind = F.headers && chance t 6 then
        (flags lor F.has_priority, dependency t stream ^ payload)
      else (flags, payload)
    in
    let flags, payload =
      if kind = F.headers && chance t 6 then (flags lor F.padded, "\x03" ^ payload ^ "\000\000\000")
      else (flags, payload)
    in
    let text = frame kind ~flags ~stream payload in
    if is_end then text else text ^ go (at + n) F.continuation
  in
  go 0 F.headers

let data t =
  on_stream t @@ fun stream ->
  let n = pick t [| 0; 1; 100; 5000; F.least_max_frame |] in
  let s = theirs t stream in
  (* Mostly within the windows. *)
  let n = if chance t 200 then n else max 0 (min n (min s.credit t.credit)) in
  let flags = if chance t 5 then F.end_stream else 0 in
  if flags <> 0 then s.is_open <- false;
  s.credit <- s.credit - n;
  t.credit <- t.credit - n;
  if n > 4 && chance t 6 then
    frame F.data ~flags:(flags lor F.padded) ~stream
      ("\x03" ^ String.make (n - 4) 'd' ^ "\000\000\000")
  else frame F.data ~flags ~stream (String.make n 'd')

let settings t =
  let value = [| 0; 1; 100; 16384; 65535; 1 lsl 20; F.largest_window; 0xffffffff |] in
  let id = R.int t.r 10 in
  let v = if chance t 50 then pick t value else if id = F.max_frame_size then 16384 else 0 in
  let v = if id = F.initial_window_size && not (chance t 10) then R.int t.r 100_000 else v in
  if id = F.initial_window_size then (
    let by = v - t.initial in
    t.initial <- v;
    Hashtbl.iter (fun _ (s : theirs) -> s.window <- s.window + by) t.streams);
  t.settings <- t.settings + 1;
  frame F.settings (String.sub (u32 id) 2 2 ^ u32 v)

let window_update t =
  let by = if chance t 100 then pick t [| 0; F.largest_window |] else 1 + R.int t.r 40_000 in
  match if chance t 2 then 0 else some_stream t with
  | -1 -> ""
  | stream ->
      if stream = 0 then t.window <- t.window + by;
      let s = theirs t stream in
      s.window <- s.window + by;
      frame F.window_update ~stream (u32 by)

let any t =
  frame (R.int t.r 20) ~flags:(R.int t.r 256)
    ~stream:(max 0 (some_stream t))
    (String.init (R.int t.r 20) (fun _ -> Char.chr (R.int t.r 256)))

let peer_step t =
  match R.int t.r 24 with
  | 0 | 1 | 2 | 3 | 4 | 5 ->
      let last = chance t 3 in
      if t.role = Server && not (chance t 200) then (
        t.next <- t.next + 2;
        head t ~stream:(t.next - 2) ~last)
      else on_stream t (fun stream -> head t ~stream ~last)
  | 6 | 7 | 8 | 9 | 10 | 11 | 12 -> data t
  | 13 | 14 | 15 -> window_update t
  | 16 ->
      on_stream t @@ fun stream ->
      (theirs t stream).is_open <- false;
      frame F.rst_stream ~stream (u32 8)
  | 17 ->
      let payload = String.init 8 (fun _ -> Char.chr (R.int t.r 256)) in
      Queue.add payload t.pings;
      frame F.ping payload
  | 18 -> settings t
  | 19 -> on_stream t (fun stream -> frame F.priority ~stream (dependency t stream))
  | 20 when t.role = Server || chance t 100 -> on_stream t (fun stream -> frame F.priority_update (u32 stream ^ "u=2"))
  | 21 -> if chance t 40 then frame F.goaway (u32 0 ^ u32 0) else frame 0x42 "unknown"
  | 22 -> if chance t 20 then (t.is_known <- false; any t) else ""
  | _ ->
      t.now <- t.now +. R.float t.r 2.;
      ""
[@@ocamlformat "disable"]

let damaged t text =
  let n = String.length text in
  if n = 0 then text
  else (
    t.is_known <- false;
    let at = R.int t.r n in
    let any () = String.init (1 + R.int t.r 4) (fun _ -> Char.chr (R.int t.r 256)) in
    match R.int t.r 5 with
    | 0 -> String.sub text 0 at
    | 1 -> String.sub text at (n - at)
    | 2 -> text ^ text
    | 3 -> String.sub text 0 at ^ any () ^ String.sub text at (n - at)
    | _ ->
        let b = Bytes.of_string text in
        Bytes.set b at (Char.chr (R.int t.r 256));
        Bytes.to_string b)

(* As it arrives: in pieces. *)
let rec feed t text =
  let n = String.length text in
  let piece = if chance t 3 then min n (1 + R.int t.r 100) else n in
  Buffer.add_string t.pending (String.sub text 0 piece);
  let b = Buffer.to_bytes t.pending in
  let used = C.receive t.conn ~now:t.now b 0 (Bytes.length b) in
  check "bytes used" (used >= 0 && used <= Bytes.length b);
  Buffer.clear t.pending;
  Buffer.add_subbytes t.pending b used (Bytes.length b - used);
  check "whole frames left" (Buffer.length t.pending < largest_frame);
  if piece < n then feed t (String.sub text piece (n - piece))

let create seed role =
  let r = R.make [| seed |] in
  let live = ref [] and the = ref None in
  let with_conn f = Option.iter f !the in
  let events =
    {
      C.on_head =
        (fun s _ ~last ->
          with_conn @@ fun t ->
          if role = C.Server then (
            if not last then C.expect s (if chance t 5 then Some (R.int t.r 1000) else None);
            if chance t 20 then C.refuse t.conn s F.Protocol_error else live := s :: !live)
          else if not last then C.expect s None);
      on_large_head =
        (fun s ->
          with_conn @@ fun t ->
          C.expect s None;
          if role = C.Server then live := s :: !live else C.reset t.conn s F.Cancel);
      on_room = ignore;
      on_goaway = ignore;
    }
  in
  let conn = C.create role limits events in
  let t =
    {
      r;
      role;
      conn;
      live;
      has_sent_head = Hashtbl.create 8;
      encoder = Hpack.encoder ();
      decoder = Hpack.decoder ~table_bytes:4096;
      pending = Buffer.create 100;
      streams = Hashtbl.create 8;
      pings = Queue.create ();
      initial = F.default_window;
      window = F.default_window;
      credit = F.default_window;
      next = 1;
      settings = 0;
      is_known = role = Server;
      now = 0.;
      goaway = None;
      frames = 0;
    }
  in
  the := Some t;
  t

let begin_ t =
  if t.role = Server then feed t F.preface;
  t.settings <- 1;
  feed t (frame F.settings "");
  check_output t

let open_stream t =
  if (not (C.is_over t.conn)) && C.streams t.conn < C.max_streams t.conn then (
    let s = C.open_stream t.conn in
    C.send_head t.conn s [ (":method", "POST"); (":path", "/") ] ~last:(chance t 3);
    Hashtbl.replace t.has_sent_head (C.id s) ();
    t.next <- C.id s + 2;
    ignore (theirs t (C.id s));
    t.live := s :: !(t.live))

let release_all t =
  List.iter (fun s -> C.release t.conn s) !(t.live);
  if not (C.is_in_head t.conn) then check "held after all streams" (C.held t.conn = 0)

(* The number of frames that the connection has sent, and how it has ended. *)
let connection ~is_damaged ~steps role seed =
  let t = create seed role in
  let result =
    try
      begin_ t;
      for _ = 1 to steps do
        if t.role = Client && (t.next = 1 || chance t 3) then open_stream t;
        let text = peer_step t in
        let text = if is_damaged && chance t 10 then damaged t text else text in
        if text <> "" then feed t text;
        check_bounds t;
        check_output t;
        for _ = 1 to R.int t.r 3 do
          program_step t;
          check_output t
        done
      done;
      None
    with C.Failed (error, _) ->
      check_output t;
      check "no GOAWAY" (t.goaway = Some error);
      Some error
  in
  (match result with
  | Some _ ->
      C.end_all t.conn;
      check "streams after the end" (C.streams t.conn = 0)
  | None ->
      release_all t;
      if role = Server then check "streams of nobody" (C.streams t.conn = 0));
  (t.frames, result)

let run ~is_damaged ~steps ~from ~count role =
  let ends = Hashtbl.create 16 and frames = ref 0 in
  for seed = from to from + count - 1 do
    match connection ~is_damaged ~steps role seed with
    | n, result ->
        frames := !frames + n;
        let n = Option.value (Hashtbl.find_opt ends result) ~default:0 in
        Hashtbl.replace ends result (n + 1)
    | exception e -> Alcotest.failf "connection %d: %s" seed (Printexc.to_string e)
  done;
  Printf.printf "%d connections, %d frames sent\n" count !frames;
  Hashtbl.iter
    (fun result n ->
      Printf.printf "%8d %s\n" n
        (match result with None -> "went on" | Some e -> F.error_to_string e))
    ends;
  ends

(* A GOAWAY leaves no stream behind that the server won't answer: not one above its last, and not
   one whose head wasn't sent. *)
let goaway () =
  let t = create 0 C.Client in
  begin_ t;
  let open_ () =
    let s = C.open_stream t.conn in
    let changes = ref 0 in
    C.on_change s (fun () -> incr changes);
    (s, changes)
  in
  let ask s = C.send_head t.conn s [ (":method", "GET"); (":path", "/") ] ~last:true in
  let seen, seen_changes = open_ () and unseen, unseen_changes = open_ () in
  let headless, headless_changes = open_ () in
  ask seen;
  ask unseen;
  feed t (frame F.goaway (u32 (C.id seen) ^ u32 0));
  let is what reset n (s, changes) =
    Alcotest.(check bool) what true (C.reset_of s = reset);
    Alcotest.(check int) (what ^ ": told") n !changes
  in
  is "a stream that the server has seen" None 0 (seen, seen_changes);
  is "one above the last" (Some C.Not_seen) 1 (unseen, unseen_changes);
  is "one without a head" (Some C.Not_seen) 1 (headless, headless_changes);
  Alcotest.(check int) "streams" 1 (C.streams t.conn);
  Alcotest.(check bool) "over" true (C.is_over t.conn)

let random_frames role () =
  let ends = run ~is_damaged:false ~steps:150 ~from:0 ~count:1000 role in
  (* The frames are ones that reach far into the machine. *)
  List.iter
    (fun result -> Alcotest.(check bool) "an end" true (Hashtbl.mem ends result))
    [ None; Some F.Protocol_error; Some F.Enhance_your_calm; Some F.Compression_error ]

let damaged_frames role () =
  let count =
    match Sys.getenv_opt "HTTP2_CONNECTIONS" with
    | None | Some "" -> 2000
    | Some n -> int_of_string n
  in
  ignore (run ~is_damaged:true ~steps:100 ~from:1_000_000 ~count role)

let () =
  let test name f = Alcotest.test_case name `Quick f in
  Alcotest.run "HTTP/2"
    [
      ( "state machine",
        [
          test "GOAWAY" goaway;
          test "random frames to a server" (random_frames C.Server);
          test "random frames to a client" (random_frames C.Client);
          test "damaged frames to a server" (damaged_frames C.Server);
          test "damaged frames to a client" (damaged_frames C.Client);
        ] );
    ]
