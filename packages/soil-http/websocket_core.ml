module D = Soil.File_descriptor
module Budget = Soil.Budget

type message = Text of string | Binary of string

exception Failed of int * string

type t = {
  flow : Soil.Flow.t;
  input : Input.t;
  output : Output.t;
  mask : (unit -> int32) option;
  protocol : string option;
  max_bytes : int;
  ping_seconds : float;
  mutable has_closed : bool; (* This end has sent its last frame. *)
  mutable closed : (int * string) option; (* What the peer said in its last. *)
  mutable stopping : (unit -> unit) option; (* Ends [f] between two messages. *)
  mutable waits : bool; (* For a message of which nothing has come. *)
  sending : Soil.Task.Mutex.t; (* Held by the task that sends a frame. *)
  budget : (Budget.t * int) option; (* A client's, and what is counted without any message. *)
}

(* What the server does with a connection when it stops: [at_stop f] has [f] be called then, and
   [leave] cancels the program's function. *)
type stop = { at_stop : (unit -> unit) -> unit; leave : unit -> unit }

let default_max_bytes = 1 lsl 20
let default_ping_seconds = 30.
let write_seconds = 30.
let close_seconds = 5.
let leave_seconds = 1. (* the same where the program doesn't wait any longer *)
let frame_seconds = 20. (* for a frame, with another second for each [rate] bytes that come *)
let rate = 500.
let frame_bytes = 64 (* what a frame takes beside its payload *)
let protocol t = t.protocol
let closed_by_peer t = t.closed

(* Sending *)

(* What waits behind another frame is in memory meanwhile. *)
let wait_to_send t n =
  Input.count t.input n;
  let give_back () = Input.give_back t.input n in
  Fun.protect ~finally:give_back (fun () -> Soil.Task.Mutex.lock t.sending)

let send_frame t opcode payload =
  let mask = Option.map (fun mask -> mask ()) t.mask in
  let head, payload = Frame.encode ?mask opcode payload in
  if not (Soil.Task.Mutex.try_lock t.sending) then wait_to_send t (String.length payload);
  Fun.protect ~finally:(fun () -> Soil.Task.Mutex.unlock t.sending) @@ fun () ->
  try Output.strings t.output [ head; payload ]
  with e ->
    (* The peer waits for the rest of the frame: the task that receives ends, too. After an error of
       the connection there may still be a last frame to read. *)
    (match e with
    | Soil.Error _ -> ()
    | _ -> (
        if Output.is_cut t.output then try D.shutdown t.flow `Receive with Soil.Error _ -> ()));
    raise e

let check_open t =
  if t.has_closed then Soil.Error.fail Closed "websocket send" ~subject:(D.name t.flow)

let send t message =
  check_open t;
  match message with
  | Binary s -> send_frame t Binary s
  | Text s ->
      if not (String.is_valid_utf_8 s) then invalid_arg "Soil_http.Websocket.send: not UTF-8";
      send_frame t Text s

let ping t =
  check_open t;
  send_frame t Ping ""

(* 1005 and 1006 stand for what wasn't said, and are never sent. *)
let close_payload code reason =
  if code = 1005 then ""
  else
    let b = Bytes.create 2 in
    Bytes.set_uint16_be b 0 code;
    Bytes.to_string b ^ reason

let send_close t code reason =
  if not t.has_closed then (
    t.has_closed <- true;
    send_frame t Close (close_payload code reason))

(* Tells the peer, if it can still be told, and raises. *)
let fail t code reason =
  (if code <> 1006 then try send_close t code reason with Soil.Error _ | Soil.Task.Timeout _ -> ());
  t.has_closed <- true;
  Soil_backtrace.raise (Failed (code, reason))

(* Receiving *)

(* RFC 6455 §7.4 *)
let is_code code =
  (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999)

let read_close t payload =
  let length = String.length payload in
  if length = 0 then (1005, "")
  else if length = 1 then fail t 1002 "close frame of one byte"
  else
    let code = String.get_uint16_be payload 0 and reason = String.sub payload 2 (length - 2) in
    if not (is_code code) then fail t 1002 "close code";
    if not (String.is_valid_utf_8 reason) then fail t 1007 "not UTF-8";
    (code, reason)

let lost t = fail t 1006 "the connection ended without a word"

(* Waits for the first byte of a frame; a silent peer is asked once. *)
let rec wait t ~asked =
  if Input.buffered t.input = 0 then (
    Input.until t.input (Soil.Clock.monotonic () +. t.ping_seconds);
    match Input.more t.input with
    | true -> ()
    | false -> lost t
    | exception Input.Late ->
        if asked then fail t 1006 "the peer is silent";
        if not t.has_closed then send_frame t Ping "";
        wait t ~asked:true)

(* The same where no message has begun: there a server that stops ends the connection. *)
let wait_between t =
  if Input.buffered t.input = 0 then (
    (match t.stopping with
    | Some leave when not t.has_closed ->
        leave ();
        Soil.Task.check ()
    | Some _ | None -> ());
    t.waits <- not t.has_closed;
    Fun.protect
      ~finally:(fun () -> t.waits <- false)
      (fun () -> Input.patiently t.input (fun () -> wait t ~asked:false)))

let frame t ~room ~begun =
  if begun then wait t ~asked:false else wait_between t;
  Input.count t.input frame_bytes;
  let started = Soil.Clock.monotonic () in
  let came n = Input.until t.input (started +. frame_seconds +. (float_of_int n /. rate)) in
  came 0;
  match
    let h = Frame.head t.input in
    (* Only clients mask. *)
    if h.mask = None = (t.mask = None) then raise (Frame.Wrong "mask");
    if h.length > room && h.length > 125 then fail t 1009 "the message is too long";
    (h, Frame.payload t.input ~came h)
  with
  | frame -> frame
  | exception Frame.Wrong reason -> fail t 1002 reason
  | exception End_of_file -> lost t
  | exception Input.Late -> fail t 1006 "a frame came too slowly"

let finished t is_text pieces =
  let s = String.concat "" (List.rev pieces) in
  if not is_text then Binary s
  else if String.is_valid_utf_8 s then Text s
  else fail t 1007 "not UTF-8"

(* [begun] is the fragments of a message, the last one first. Each counts a bit more than it is long:
   empty ones take memory, too. *)
let rec next t begun got =
  let (h : Frame.head), payload = frame t ~room:(t.max_bytes - got) ~begun:(begun <> None) in
  match (h.opcode, begun) with
  | Ping, _ ->
      if not t.has_closed then send_frame t Pong payload;
      Input.give_back t.input (frame_bytes + h.length);
      next t begun got
  | Pong, _ ->
      Input.give_back t.input (frame_bytes + h.length);
      next t begun got
  | Close, _ ->
      let said = read_close t payload in
      t.closed <- Some said;
      send_close t (fst said) "";
      None
  | Continuation, None -> fail t 1002 "continuation of nothing"
  | (Text | Binary), Some _ -> fail t 1002 "message in a message"
  | (Continuation | Text | Binary), _ ->
      let is_text, pieces =
        match begun with Some begun -> begun | None -> (h.opcode = Text, [])
      in
      let got = got + h.length in
      if got > t.max_bytes then fail t 1009 "the message is too long";
      let pieces = payload :: pieces in
      if h.final then Some (finished t is_text pieces)
      else next t (Some (is_text, pieces)) (got + 32)

(* A message is the program's from now on. *)
let received t =
  let give_back (budget, own) =
    Budget.finished budget;
    Budget.shrink_to budget (own + Input.extra t.input)
  in
  Option.iter give_back t.budget

let receive t =
  if t.closed <> None then None
  else
    let message = next t None 0 in
    received t;
    message

let rec iter f t =
  match receive t with
  | Some m ->
      f m;
      iter f t
  | None -> ()

(* The end *)

let rec wait_for_close t = match receive t with Some _ -> wait_for_close t | None -> ()

let close ?(code = 1000) ?(reason = "") t =
  if not (is_code code) then invalid_arg "Soil_http.Websocket.close: not a code";
  if String.length reason > 123 || not (String.is_valid_utf_8 reason) then
    invalid_arg "Soil_http.Websocket.close: not a reason";
  if not t.has_closed then (
    send_close t code reason;
    if t.closed = None then
      match Soil.Task.timeout_opt close_seconds (fun () -> wait_for_close t) with
      | Some () | None -> ()
      | exception Failed _ -> ())

let is_failure t e = Input.is_failure t.input e

let run ?stop ~mask ~protocol ~max_bytes ~ping_seconds flow f =
  (* Only clients mask, who are strangers. *)
  let peer = if mask = None then Budget.current () else None in
  let input = Input.create ?peer (flow :> D.flow) in
  let output = Output.create input ~seconds:write_seconds in
  let t =
    {
      budget = Option.map (fun peer -> (peer, Budget.bytes peer)) peer;
      flow; input; output; mask; protocol; max_bytes; ping_seconds; has_closed = false;
      closed = None; stopping = None; waits = false; sending = Soil.Task.Mutex.create ();
    }
  in
  let last code = try close t ~code with e when is_failure t e -> () in
  let stopped leave () =
    t.stopping <- Some leave;
    if t.waits then leave ()
  in
  Option.iter (fun { at_stop; leave } -> at_stop (stopped leave)) stop;
  match f t with
  | result ->
      last 1000;
      result
  | exception e ->
      (* Of a program that is stopping, the peer hears by 1001. *)
      (match e with
      | Failed _ -> ()
      | e when is_failure t e -> ()
      | Soil.Task.Cancelled ->
          let leave () = if not (Output.is_cut t.output) then try close t ~code:1001 with Soil.Error _ -> () in
          Soil.Task.protect (fun () -> ignore (Soil.Task.timeout_opt leave_seconds leave))
      | _ -> last 1011);
      (* A client that leaves is nothing that a server's program has to handle. *)
      if mask = None && is_failure t e then Soil_backtrace.raise Response.Cut;
      raise e
[@@ocamlformat "disable"]
