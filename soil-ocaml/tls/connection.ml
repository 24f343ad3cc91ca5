module Raw = Soil_raw_tls
module D = Soil.File_descriptor

type t = {
  mutable session : int;  (** Its number, or {!closed}. *)
  name : string;
  read_below : bytes -> int -> int -> int;
  write_below : bytes -> int -> int -> int;  (** Some of the bytes. *)
  shut_below : [ `Receive | `Send | `Both ] -> unit;
  close_below : unit -> unit;
  peer_failed : exn -> unit;
  of_client : bool;  (** The other end is one. *)
  sending : Soil.Task.Mutex.t;  (** Held by who writes below. *)
  mutable unsent : bytes;  (** Records that a call left when it was cancelled… *)
  mutable unsent_at : int;  (** …from here… *)
  mutable unsent_end : int;  (** …to here. *)
  mutable streaming : bool;  (** Input came faster than a small buffer holds. *)
}

type Soil.Flow.state += Tls of t

(* No number of Rust's. *)
let closed = -1

(* What Rust answers where it needs input. *)
let would_block = -1001

let error t operation r =
  if t.session = closed then
    Soil.Error.Error { code = Closed; operation; subject = t.name; detail = "" }
  else Settings.error operation t.name r

let give_up t e =
  (match e with
  | Soil.Error.Error { code = Tls | Certificate | Connection_reset | Busy; _ } -> t.peer_failed e
  | _ -> ());
  Soil_backtrace.raise e

let fail t operation r = give_up t (error t operation r)
let check t operation r = if r >= 0 then r else fail t operation r

(* Output. Who calls these holds [sending]. *)

let send_unsent t =
  while t.unsent_at < t.unsent_end do
    t.unsent_at <- t.unsent_at + t.write_below t.unsent t.unsent_at (t.unsent_end - t.unsent_at)
  done;
  if t.unsent != Bytes.empty then (
    Buffers.give t.unsent;
    t.unsent <- Bytes.empty;
    t.unsent_at <- 0;
    t.unsent_end <- 0)

(* [f ()], which sends records that take [size] bytes: for a client that takes nothing, for long. *)
let counted t size f =
  if t.of_client && size > Buffers.small then
    Soil.Budget.scratch (fun more ->
        more size;
        f ())
  else f ()

(* [make b] stores records in [b] and is their number of bytes; what isn't sent stays in [unsent],
   and is sent before anything else. *)
let send_made t size make =
  send_unsent t;
  counted t size @@ fun () ->
  let b = Buffers.take size in
  match Soil.Private.undoing (fun () -> Buffers.give b) (fun () -> make b) with
  | 0 -> Buffers.give b
  | n ->
      t.unsent <- b;
      t.unsent_at <- 0;
      t.unsent_end <- n;
      send_unsent t

(* Sends what the session has to send of itself. *)
let rec send_pending t =
  send_unsent t;
  if t.session <> closed && Raw.tls_pending t.session > 0 then (
    send_made t Buffers.small (fun b -> max 0 (Raw.tls_take t.session b 0 (Bytes.length b)));
    send_pending t)

let sending t f = Soil.Task.Mutex.protect t.sending f

(* Sends it from a task that reads, unless another one is writing, which then sends it too. *)
let send_if_free t =
  if
    (t.unsent_at < t.unsent_end || Raw.tls_pending t.session > 0)
    && Soil.Task.Mutex.try_lock t.sending
  then
    let unlock () = Soil.Task.Mutex.unlock t.sending in
    Soil.Private.finally unlock (fun () -> send_pending t)

(* An alert for the peer; what was wrong matters more than whether that could be sent. *)
let send_alert t = try send_if_free t with Soil.Error.Error _ -> ()

let refuse t operation r =
  let e = error t operation r in
  send_alert t;
  give_up t e

(* Input. The call below either takes nothing, or what it took goes to the session. *)
let fill ?(size = Buffers.small) t =
  let b = Buffers.take size in
  let read () = t.read_below b 0 (Bytes.length b) in
  let n = Soil.Private.undoing (fun () -> Buffers.give b) read in
  t.streaming <- n = Bytes.length b || (t.streaming && n > Buffers.small);
  let r =
    if t.session = closed then closed
    else if n = 0 then Raw.tls_end_of_input t.session
    else Raw.tls_feed t.session b 0 n
  in
  Buffers.give b;
  r

let fill_streaming t operation =
  let r = fill ~size:(if t.streaming then Buffers.large else Buffers.small) t in
  ignore (check t operation r)

(* Handshakes of servers in progress, of all domains: all have one budget. Who is refused for others
   waits for a stranger, in a call that ends when its flow is closed, by any domain. No session has
   the number of an earlier one, so what is closed late is a refused one still. Changed by
   compare-and-set. *)
let in_progress = Atomic.make []

let rec without t = function
  | [] -> []
  | other :: rest -> if other == t then rest else other :: without t rest

let rec begin_progress t =
  let all = Atomic.get in_progress in
  if not (Atomic.compare_and_set in_progress all (t :: all)) then begin_progress t

let rec end_progress t =
  let all = Atomic.get in_progress in
  if not (Atomic.compare_and_set in_progress all (without t all)) then end_progress t

let rec end_refused () =
  let number = Raw.tls_refused () in
  if number >= 0 then (
    let rec go = function
      | [] -> ()
      | t :: rest -> if t.session = number then t.close_below () else go rest
    in
    go (Atomic.get in_progress);
    end_refused ())

let fill_handshake t =
  (* What the session says next is the reason, unless it goes on. *)
  (match fill t with
  | r ->
      if r < 0 then
        let e = error t "tls handshake" r in
        if Raw.tls_handshake t.session >= 0 then give_up t e
  | exception (Soil.Error.Error _ as e) ->
      (* Its flow was closed because it was refused, or it failed by itself. *)
      let backtrace = Soil_backtrace.get () in
      if Raw.tls_handshake t.session >= 0 then Soil_backtrace.reraise e backtrace);
  end_refused ()

let rec handshake t =
  match Raw.tls_handshake t.session with
  | 1 -> (
      (* Of a peer that is gone already there may be something to read. *)
      try sending t (fun () -> send_pending t) with Soil.Error.Error _ -> ())
  | 0 ->
      sending t (fun () -> send_pending t);
      fill_handshake t;
      handshake t
  | r -> refuse t "tls handshake" r

let rec read_by take t b off len =
  let n = take t.session b off len in
  if n >= 0 then n
  else if n = would_block then (
    send_if_free t;
    fill_streaming t "tls read";
    read_by take t b off len)
  else refuse t "tls read" n

let taken_bit = 24

(* Once bytes were sealed they are taken. A cancellation while they are sent comes from the next
   call that waits, and the next write goes on with them. *)
let write_by seal t b off len =
  let taken = ref 0 in
  (try
     sending t (fun () ->
         send_made t Buffers.large (fun into ->
             let r = seal t.session b off len into (Bytes.length into) in
             let r = check t "tls write" r in
             taken := r lsr taken_bit;
             r land ((1 lsl taken_bit) - 1)))
   with Soil.Task.Cancelled when !taken > 0 -> ());
  !taken

let shutdown t side =
  if side <> `Receive then
    sending t (fun () ->
        ignore (check t "tls shutdown" (Raw.tls_close_notify t.session));
        send_pending t);
  t.shut_below side

let close t =
  if t.session <> closed then (
    ignore (Raw.tls_free t.session);
    t.session <- closed);
  t.close_below ()

let feed_received t received =
  let length = String.length received in
  let r = Raw.tls_feed t.session (Bytes.unsafe_of_string received) 0 length in
  ignore (check t "tls handshake" r)

(* What a session takes while nothing is buffered: its state, and the record that it decodes. *)
let session_bytes = 16384

(* A client's memory is counted until its connection ends. *)
let count_session () =
  Option.iter (fun peer -> Soil.Budget.grow peer session_bytes) (Soil.Budget.current ())

let start ?(received = "") (config : Settings.config) ~host d =
  if host = None then count_session ();
  let session =
    match host with
    | Some host -> Raw.tls_connect config.number host
    | None -> Raw.tls_accept config.number
  in
  let name =
    match host with
    | Some host -> "tls " ^ host ^ " over " ^ D.name d
    | None -> "tls over " ^ D.name d
  in
  let t =
    {
      session;
      name;
      read_below = D.read d;
      write_below = D.write_some d;
      shut_below = D.shutdown d;
      close_below = (fun () -> D.close d);
      of_client = host = None;
      (* A client has chosen its server. *)
      peer_failed = (if host = None then Soil.Private.peer_failed d else ignore);
      sending = Soil.Task.Mutex.create ();
      unsent = Bytes.empty;
      unsent_at = 0;
      unsent_end = 0;
      streaming = false;
    }
  in
  let begun () =
    ignore (Settings.check "tls" name session);
    begin_progress t;
    end_refused ();
    if received <> "" then feed_received t received;
    handshake t;
    Settings.log_keys config
  in
  let over () = end_progress t in
  Soil.Private.(undoing (fun () -> close t) (fun () -> finally over begun));
  Soil.Flow.make ~name ~state:(Tls t) ~read:(read_by Raw.tls_read t)
    ~read_into:(read_by Raw.tls_read_into t) ~write:(write_by Raw.tls_write t)
    ~write_from:(write_by Raw.tls_write_from t) ~shutdown:(shutdown t)
    ~close:(fun () -> close t)
    ()

let of_flow operation f =
  match Soil.Flow.state f with
  | Some (Tls t) -> t
  | _ -> invalid_arg ("Soil_tls." ^ operation ^ ": not a connection of TLS")

let text get = Soil.Private.text (max 0) get
let fact t which = text (fun b off len -> Raw.tls_fact t.session which b off len)
let resumed t = Raw.tls_fact t.session 3 Bytes.empty 0 0 = 1

let peer_certificates t =
  let rec go index =
    match text (fun b off len -> Raw.tls_peer_certificate t.session index b off len) with
    | "" -> []
    | der -> der :: go (index + 1)
  in
  go 0

let update_keys t =
  sending t (fun () ->
      ignore (check t "tls update" (Raw.tls_update_keys t.session));
      send_pending t)
