(** Tasks on an HTTP/2 connection: its streams as flows. Private to [soil-http].

    What tasks send is collected and written together: by a task of a scope, or by one of those that
    wait for it. So the responses of many streams share a write. *)

module C = Http2_connection
module F = Http2_frame
module D = Soil.File_descriptor
module T = Soil.Task

exception Over
(** The connection has ended. *)

(** The type for what moves the bytes of a connection. *)
type drive =
  | In_scope of T.scope  (** A task of this scope writes; one that calls {!receive} reads. *)
  | By_users
      (** The tasks that wait for streams: one of them reads for all, and one writes. A connection
          without users does nothing. *)

type t = {
  conn : C.t;
  drive : drive;
  input : Input.t;
  limits : Limits.t;
  peer : Soil.Budget.t option;
  mutable counted : int; (* Bytes that [peer] has counted. *)
  mutable writing : bytes; (* Bytes from [written_to] are to be written before the output. *)
  mutable written_to : int;
  mutable written : int; (* Of all bytes. *)
  mutable is_writing : bool;
  progress : T.Condition.t; (* Bytes were written, or the writer has stopped. *)
  mutable is_reading : bool;
  readers : stream Queue.t; (* That wait for another one's reading, each once; some no longer do. *)
  mutable writers : stream list; (* That wait for room. *)
  mutable turn : int;
  mutable received : int; (* Times that something has come. *)
  mutable failure : exn option;
  mutable cannot_write : exn option; (* What has come can still be read. *)
}

(* A client's stream. *)
and asked = {
  mutable is_request : bool; (* The end of the response ends what is sent (RFC 9113 §8.1). *)
  peer : Soil.Budget.t option; (* For which a task has opened it. *)
  mutable reserved : int; (* Bytes that [peer] has counted: its window, and fields. *)
  mutable fields : int; (* Of these, for fields. *)
}

and stream = {
  link : t;
  stream : C.stream;
  changed : T.Condition.t;
  mutable waiters : int;
  mutable is_queued : bool; (* In [readers]. *)
  mutable turn : int; (* When it began to wait for room. *)
  asked : asked option; (* Of a client's stream. *)
  mutable on_reset : unit -> unit;
}

(* Beyond it, nothing is added but what the connection itself has to say. *)
let output_bytes = 65536

(* Beyond it nothing is read. It is more: two ends that wait for each other's reading, because both
   have much to send, would wait for ever. *)
let reply_bytes = 2 * output_bytes
let unwritten t = Bytes.length t.writing - t.written_to + Buffer.length (C.output t.conn)
let has_room t = unwritten t < output_bytes
let is_over t = t.failure <> None || t.cannot_write <> None || C.is_over t.conn

(* Writing *)

(** [fail t e] ends the connection: waiting calls raise [e]. *)
let fail t e =
  if t.failure = None then (
    t.failure <- Some e;
    C.end_all t.conn;
    (* The task that reads may wait for a long time. *)
    (try D.shutdown (Input.flow t.input) `Receive with Soil.Error _ -> ());
    T.Condition.broadcast t.progress)

(* By urgency; those that want their bytes one after the other before those that share. *)
let order (s : stream) =
  let urgency, incremental = C.priority s.stream in
  if incremental then (urgency, 1, s.turn) else (urgency, 0, C.id s.stream)

let can_send t s = has_room t && C.room t.conn s.stream > 0
let is_before a b = compare (order a) (order b) < 0

let best_writer t =
  List.fold_left
    (fun best s ->
      if not (can_send t s) then best
      else match best with Some b when is_before b s -> best | _ -> Some s)
    None t.writers

let wake_writer t =
  if t.writers <> [] then
    match t.drive with
    | In_scope _ -> Option.iter (fun s -> T.Condition.broadcast s.changed) (best_writer t)
    | By_users ->
        List.iter (fun s -> if can_send t s then T.Condition.broadcast s.changed) t.writers

let refill t =
  let output = C.output t.conn in
  t.writing <- Buffer.to_bytes output;
  t.written_to <- 0;
  if Buffer.length output > output_bytes then Buffer.reset output else Buffer.clear output

(* A part may be written when this is cancelled: the rest stays for the next one. *)
let write_some t =
  if t.written_to = Bytes.length t.writing then refill t;
  let write () =
    while t.written_to < Bytes.length t.writing do
      let left = Bytes.length t.writing - t.written_to in
      let n = D.write_some (Input.flow t.input) t.writing t.written_to left in
      t.written_to <- t.written_to + n;
      t.written <- t.written + n
    done
  in
  let timed () = T.timeout t.limits.write_seconds write in
  Input.guard t.input (fun () ->
      (* A peer that takes nothing is slow, also while handlers work. *)
      match t.peer with
      | Some peer -> Soil.Budget.awaiting peer timed
      | None -> timed ());
  t.writing <- Bytes.empty;
  t.written_to <- 0

let rec write_all t =
  if unwritten t > 0 then (
    write_some t;
    T.Condition.broadcast t.progress;
    wake_writer t;
    write_all t)

(* A server may have sent its last response before it closed its end. *)
let give_up_output t e =
  t.cannot_write <- Some e;
  Buffer.clear (C.output t.conn);
  t.writing <- Bytes.empty;
  t.written_to <- 0

let as_writer t f =
  t.is_writing <- true;
  Soil.Private.finally
    (fun () ->
      t.is_writing <- false;
      T.Condition.broadcast t.progress)
    (fun () ->
      try f ()
      with e ->
        let backtrace = Soil_backtrace.get () in
        (match (e, t.drive) with
        | T.Cancelled, _ -> ()
        | Soil.Error { code = Broken_pipe | Connection_reset; _ }, By_users -> give_up_output t e
        | e, _ -> fail t e);
        Soil_backtrace.reraise e backtrace)

let raise_failure t =
  match t.failure with
  | None -> ()
  | Some Over ->
      Soil.Error.fail Connection_reset "write" ~subject:"connection" ~detail:"it has ended"
  | Some e -> raise e

let check_writing t =
  raise_failure t;
  Option.iter raise t.cannot_write

(* What can be written at once. *)
let write_now t =
  if t.cannot_write <> None then Buffer.clear (C.output t.conn)
  else if (not t.is_writing) && t.failure = None then
    let write () = T.timeout_opt 0. (fun () -> as_writer t (fun () -> write_all t)) in
    try ignore (T.protect write) with Soil.Error _ | T.Timeout _ -> ()

(** [push t] begins to write the output. Doesn't wait; with {!By_users} the rest is for those that
    read or send next. *)
let push t =
  if unwritten t > 0 then
    match t.drive with
    | By_users -> write_now t
    | In_scope scope ->
        if (not t.is_writing) && t.failure = None then (
          t.is_writing <- true;
          let write () =
            (* The connection's reader has the failure. *)
            try as_writer t (fun () -> write_all t) with e -> if e = T.Cancelled then raise e
          in
          ignore (T.spawn_daemon scope write))

(** [drain t] waits until all has been written, or can't be. *)
let rec drain t =
  if unwritten t > 0 && t.failure = None then (
    push t;
    if t.is_writing then (
      T.Condition.wait_no_mutex t.progress;
      drain t))

(* Reading *)

let counted_now t = C.held t.conn + unwritten t

let count t =
  match t.peer with
  | None -> ()
  | Some peer ->
      let more = counted_now t - t.counted in
      t.counted <- t.counted + more;
      if more > 0 then Soil.Budget.count peer more else Soil.Budget.shrink peer (-more)

(* Likewise, without a wait for room: only what comes may wait. *)
let count_less t =
  match t.peer with
  | Some peer when counted_now t < t.counted ->
      let less = t.counted - counted_now t in
      t.counted <- t.counted - less;
      Soil.Budget.shrink peer less
  | Some _ | None -> ()

(** [handle t] handles what has come.
    @raise Over when the connection is over by {!C.Failed}. *)
let handle t =
  let now = Soil.Clock.monotonic () in
  (match Input.consume t.input (fun b off len -> C.receive t.conn ~now b off len) with
  | () -> ()
  | exception C.Failed _ ->
      C.end_all t.conn;
      drain t;
      Soil_backtrace.raise Over);
  count t;
  push t

(* A client that takes nothing isn't read from. A server always is: it may wait for that. *)
let rec await_reading t =
  match t.drive with
  | In_scope _ when unwritten t >= reply_bytes && t.failure = None ->
      push t;
      if t.is_writing then T.Condition.wait_no_mutex t.progress;
      await_reading t
  | In_scope _ | By_users -> ()

(** [receive t] waits for more, and handles that.
    @raise Over likewise, and at the end of input. *)
let receive t =
  await_reading t;
  if t.failure <> None || not (Input.more t.input) then Soil_backtrace.raise Over;
  t.received <- t.received + 1;
  handle t

let rec wake_reader t =
  match Queue.take_opt t.readers with
  | None -> ()
  | Some s ->
      s.is_queued <- false;
      if s.waiters > 0 then T.Condition.broadcast s.changed else wake_reader t

let as_reader t f =
  t.is_reading <- true;
  Soil.Private.finally
    (fun () ->
      t.is_reading <- false;
      wake_reader t)
    (fun () -> try f () with T.Cancelled as e -> raise e | e -> fail t e)

(* Begins in a task of its own: another one may write by then. *)
let write_or_wait t =
  if t.is_writing then T.Condition.wait_no_mutex t.progress else as_writer t (fun () -> write_all t)

(* Bytes that couldn't be written at once may be what the peer waits for. *)
let receive_and_write t =
  push t;
  if unwritten t > 0 && not t.is_writing then
    let write () = try write_or_wait t with Soil.Error _ when t.cannot_write <> None -> () in
    T.first [ write; (fun () -> receive t) ]
  else receive t

let read_for_all t ready =
  as_reader t (fun () ->
      while not (ready () || t.failure <> None) do
        receive_and_write t
      done)

(** [poll t] handles what has come while the connection was idle. Doesn't wait for more. *)
let poll t =
  let has_come () =
    match Soil.Private.would_wait (Input.flow t.input) with Some waits -> not waits | None -> true
  in
  let rec go () =
    if has_come () && t.failure = None then
      match T.timeout_opt 0. (fun () -> receive t) with Some () -> go () | None -> ()
  in
  if not (t.is_reading || t.failure <> None) then as_reader t go

(* One of the users writes for all. Without a reader, it also reads: the peer may wait for that. *)
let rec await_written t upto =
  if t.written < upto then (
    check_writing t;
    push t;
    (if t.written < upto then
       let write () = write_or_wait t in
       (* Another task may read by the time this one begins. *)
       let read () = if not t.is_reading then read_for_all t (fun () -> t.written >= upto) in
       if t.is_reading then write () else T.first [ write; read ]);
    await_written t upto)

(** [flush t] sees to it that the output is written; it waits for that with {!By_users} alone. *)
let flush t =
  if unwritten t > 0 then
    match t.drive with
    | In_scope _ -> push t
    | By_users ->
        let upto = t.written + unwritten t in
        (* Others may add to it first. *)
        T.yield ();
        await_written t upto

(* Waits until there is room for more output. *)
let rec await_room t =
  if not (has_room t) then (
    check_writing t;
    flush t;
    if t.is_writing && not (has_room t) then T.Condition.wait_no_mutex t.progress;
    await_room t)

let wait_for_change s =
  s.waiters <- s.waiters + 1;
  Soil.Private.finally
    (fun () -> s.waiters <- s.waiters - 1)
    (fun () -> T.Condition.wait_no_mutex s.changed)

(* Waits while another one reads. One that was woken to read next, and has no need to, wakes another
   one. *)
let await_reader s ready =
  let t = s.link in
  if not s.is_queued then (
    s.is_queued <- true;
    Queue.push s t.readers);
  let is_awake = ref false in
  Soil.Private.finally
    (fun () -> if (not t.is_reading) && ((not !is_awake) || ready ()) then wake_reader t)
    (fun () ->
      wait_for_change s;
      is_awake := true)

(* [ready ()] is [true] also after a reset. *)
let rec await s ready =
  let t = s.link in
  if not (ready ()) then (
    raise_failure t;
    (match t.drive with
    | By_users when not t.is_reading -> read_for_all t ready
    | By_users -> await_reader s ready
    | In_scope _ -> wait_for_change s);
    await s ready)

(* Streams *)

(** [count_fields s] counts the heads and trailers that have come of [s], a client's stream. The
    task that reads isn't the one for whom they are, and doesn't wait. *)
let count_fields s =
  match s.asked with
  | Some ({ peer = Some peer; _ } as asked) ->
      let more = C.fields_size s.stream - asked.fields in
      asked.fields <- asked.fields + more;
      asked.reserved <- asked.reserved + more;
      Soil.Budget.note peer more
  | Some _ | None -> ()

(** [asked ()] is for a stream that this task opens. *)
let asked () = { is_request = false; peer = Soil.Budget.current (); reserved = 0; fields = 0 }

let make ?asked link stream =
  let s =
    {
      link; stream; changed = T.Condition.create (); waiters = 0; is_queued = false; turn = 0; asked; on_reset = ignore;
    }
  in
  let change () =
    count_fields s;
    if C.reset_of stream <> None then s.on_reset ();
    if s.waiters > 0 then T.Condition.broadcast s.changed
  in
  C.on_change stream change;
  s
[@@ocamlformat "disable"]

let why = function
  | C.By_peer e -> "reset by the peer: " ^ F.error_to_string e
  | By_this_end e -> "reset: " ^ F.error_to_string e
  | Too_large -> "a head or trailers exceed the limits"
  | Not_seen -> "refused by the peer"
  | Connection_over -> "the connection has ended"

let fail_reset s operation =
  match C.reset_of s.stream with
  | None -> ()
  | Some reset ->
      let code : Soil.Error.code = if reset = Too_large then Too_large else Connection_reset in
      Soil.Error.fail code operation ~subject:"stream" ~detail:(why reset)

let is_reset s = C.reset_of s.stream <> None

(* Nothing takes what is sent from now on. *)
let is_answered s =
  match s.asked with
  | Some { is_request = true; _ } -> C.is_received s.stream
  | Some _ | None -> false

(** [reserve s] counts the window of [s], a client's stream, which the other end may fill while the
    peer for whom it is doesn't read. *)
let reserve s =
  let reserve (asked : asked) =
    let n = C.window s.stream in
    Option.iter (fun peer -> Soil.Budget.grow peer n) asked.peer;
    asked.reserved <- asked.reserved + n
  in
  Option.iter reserve s.asked

(* A window grows as long as all is read that comes, and there is memory for it. *)
let widen s =
  let t = s.link in
  let n = C.wider t.conn s.stream in
  let widen (asked : asked) =
    let has_memory peer = Soil.Budget.grow_if_spare peer n in
    if Option.fold asked.peer ~none:true ~some:has_memory then (
      asked.reserved <- asked.reserved + n;
      C.widen t.conn s.stream n)
  in
  if n > 0 then Option.iter widen s.asked

let read s blit len =
  let t = s.link in
  let ready () = C.unread s.stream > 0 || C.is_received s.stream || is_reset s in
  await s ready;
  if C.unread s.stream = 0 then (if not (C.is_received s.stream) then fail_reset s "read");
  let n = C.take t.conn s.stream blit len in
  if n > 0 then (
    count_less t;
    widen s;
    push t);
  n
[@@ocamlformat "disable"]

let as_waiting_writer s f =
  let t = s.link in
  t.turn <- t.turn + 1;
  s.turn <- t.turn;
  t.writers <- s :: t.writers;
  let leave () =
    t.writers <- List.filter (fun other -> other != s) t.writers;
    wake_writer t
  in
  Soil.Private.finally leave f

(* Waits until it is the turn of [s], among the streams of a server. *)
let await_turn s =
  let t = s.link in
  let is_first () =
    can_send t s && match best_writer t with Some b -> b == s || is_before s b | None -> true
  in
  let ready () = is_reset s || is_first () in
  if not ((can_send t s && t.writers = []) || ready ()) then
    as_waiting_writer s (fun () -> await s ready)

(* The windows are the peer's to open, the output is this end's to write. *)
let rec await_window s =
  let t = s.link in
  let ready () = is_reset s || is_answered s || can_send t s in
  if not (ready ()) then (
    if has_room t then
      as_waiting_writer s (fun () -> await s (fun () -> ready () || not (has_room t)))
    else await_room t;
    await_window s)

let await_sending s =
  (match s.link.drive with In_scope _ -> await_turn s | By_users -> await_window s);
  fail_reset s "write";
  if is_answered s then
    Soil.Error.fail Broken_pipe "write" ~subject:"stream" ~detail:"the response is complete";
  if C.is_sent s.stream then
    Soil.Error.fail Broken_pipe "write" ~subject:"stream" ~detail:"its end was sent"

(* Sends at most [len] bytes. *)
let write s b off len ~last =
  let t = s.link in
  await_sending s;
  let n = min len (C.room t.conn s.stream) in
  C.send_data t.conn s.stream b off n ~last:(last && n = len);
  flush t;
  n

(** [send_piece s text off len] sends these bytes of the body [text], and the end after the last. *)
let rec send_piece s text off len =
  if len > 0 then
    let b = Bytes.unsafe_of_string text in
    let n = write s b off len ~last:(off + len = Bytes.length b) in
    send_piece s text (off + n) (len - n)

(** [send_head s fields ~last] sends a head. [sent ()] is called before the other end can have it.
*)
let send_head ?(sent = ignore) s fields ~last =
  await_room s.link;
  fail_reset s "write";
  C.send_head s.link.conn s.stream fields ~last;
  sent ();
  flush s.link

(** [send_end s trailers] ends the message, unless that has been done. *)
let send_end s trailers =
  if not (C.is_sent s.stream) then (
    await_room s.link;
    fail_reset s "write";
    (match trailers with
    | [] -> C.send_data s.link.conn s.stream Bytes.empty 0 0 ~last:true
    | trailers -> C.send_head s.link.conn s.stream trailers ~last:true);
    flush s.link)

(** [reset s error] ends the stream at once. Doesn't wait. *)
let reset s error = C.reset s.link.conn s.stream error

(** [release s] gives up the rest of the stream. Doesn't wait. *)
let release s =
  let t = s.link in
  C.release t.conn s.stream;
  let give_back (asked : asked) =
    Option.iter (fun peer -> Soil.Budget.shrink peer asked.reserved) asked.peer;
    asked.reserved <- 0
  in
  Option.iter give_back s.asked;
  count_less t;
  push t

(** [flow s] is the bodies of both directions. *)
let flow s =
  let shutdown = function `Send | `Both -> send_end s [] | `Receive -> () in
  Soil.Flow.make ~name:"stream"
    ~read:(fun b off len -> read s (fun bytes first n -> Bytes.blit bytes first b off n) len)
    ~write:(fun b off len -> write s b off len ~last:false)
    ~shutdown
    ~close:(fun () -> release s)
    ()

(** [create drive role limits input ~on_head ~on_large_head] is a new connection. [peer] counts what
    it holds. *)
let create ?peer drive role limits input ~on_head ~on_large_head =
  let link = ref None in
  let the f = Option.iter f !link in
  let events =
    {
      C.on_head = (fun stream fields ~last -> the (fun t -> on_head t stream fields ~last));
      on_large_head = (fun stream -> the (fun t -> on_large_head t stream));
      on_room = (fun () -> the wake_writer);
      on_goaway = ignore;
    }
  in
  let conn = C.create role limits events in
  let t =
    {
      conn;
      drive;
      input;
      limits;
      peer;
      counted = 0;
      writing = Bytes.empty;
      written_to = 0;
      written = 0;
      is_writing = false;
      progress = T.Condition.create ();
      is_reading = false;
      readers = Queue.create ();
      writers = [];
      turn = 0;
      received = 0;
      failure = None;
      cannot_write = None;
    }
  in
  link := Some t;
  t
