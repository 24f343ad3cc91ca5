(** Tasks on an HTTP/2 connection: its streams as flows. Private to [soil.http].

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
  progress : T.Condition.t; (* Something was written, or nobody writes any more. *)
  mutable is_reading : bool;
  readers : stream Queue.t; (* That wait for another one's reading, each once; some no longer do. *)
  mutable writers : stream list; (* That wait for room. *)
  mutable turn : int;
  mutable received : int; (* Times that something has come. *)
  mutable failure : exn option;
}

and stream = {
  link : t;
  stream : C.stream;
  changed : T.Condition.t;
  mutable waiters : int;
  mutable is_queued : bool; (* In [readers]. *)
  mutable turn : int; (* When it began to wait for room. *)
  mutable on_reset : unit -> unit;
}

(* Beyond it, nothing is added but what the connection itself has to say. *)
let output_bytes = 65536

(* Beyond it nothing is read. It is more: two ends that wait for each other's reading, because both
   have much to send, would wait for ever. *)
let reply_bytes = 2 * output_bytes
let unwritten t = Bytes.length t.writing - t.written_to + Buffer.length (C.output t.conn)
let has_room t = unwritten t < output_bytes
let is_over t = t.failure <> None || C.is_over t.conn

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
    match best_writer t with Some s -> T.Condition.broadcast s.changed | None -> ()

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
  Input.guard t.input (fun () ->
      Input.waiting t.input (fun () -> T.timeout t.limits.write_seconds write));
  t.writing <- Bytes.empty;
  t.written_to <- 0

let rec write_all t =
  if unwritten t > 0 then (
    write_some t;
    T.Condition.broadcast t.progress;
    wake_writer t;
    write_all t)

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
        (match e with T.Cancelled -> () | e -> fail t e);
        Soil_backtrace.reraise e backtrace)

(* Others may add to it first. *)
let write_together t =
  T.yield ();
  write_all t

let raise_failure t =
  match t.failure with
  | None -> ()
  | Some Over ->
      Soil.Error.fail Connection_reset "write" ~subject:"connection" ~detail:"it has ended"
  | Some e -> raise e

let rec await_written t upto =
  if t.written < upto then (
    raise_failure t;
    if t.is_writing then T.Condition.wait_no_mutex t.progress
    else as_writer t (fun () -> write_together t);
    await_written t upto)

(** [flush t] sees to it that the output is written; it waits for that with {!By_users} alone. *)
let flush t =
  if unwritten t > 0 then
    match t.drive with
    | By_users -> await_written t (t.written + unwritten t)
    | In_scope scope ->
        if (not t.is_writing) && t.failure = None then (
          t.is_writing <- true;
          let write () =
            (* The connection's reader has the failure. *)
            try as_writer t (fun () -> write_all t) with e -> if e = T.Cancelled then raise e
          in
          ignore (T.spawn_daemon scope write))

(** [flush_now t] writes what can be written at once: when a request is given up, nobody else may be
    there to write that. *)
let flush_now t =
  if unwritten t > 0 && (not t.is_writing) && t.failure = None then
    let write () = T.timeout_opt 0. (fun () -> as_writer t (fun () -> write_all t)) in
    try ignore (T.protect write) with Soil.Error _ | T.Timeout _ -> ()

(** [drain t] waits until all has been written, or can't be. *)
let rec drain t =
  if unwritten t > 0 && t.failure = None then (
    flush t;
    if t.is_writing then T.Condition.wait_no_mutex t.progress;
    drain t)

(* Reading *)

let count t =
  match t.peer with
  | None -> ()
  | Some peer ->
      let more = C.held t.conn + unwritten t - t.counted in
      t.counted <- t.counted + more;
      if more > 0 then Soil.Budget.count peer more else Soil.Budget.shrink peer (-more)

let rec await_unwritten t below =
  if unwritten t >= below then (
    raise_failure t;
    flush t;
    if t.is_writing && unwritten t >= below then T.Condition.wait_no_mutex t.progress;
    await_unwritten t below)

let await_room t = await_unwritten t output_bytes

(** [handle t] handles what has come.
    @raise Over when the connection is over by {!C.Failed}. *)
let handle t =
  let now = Soil.Clock.monotonic () in
  (match Input.consume t.input (fun b off len -> C.receive t.conn ~now b off len) with
  | () -> ()
  | exception C.Failed _ ->
      (try drain t with _ -> T.check ());
      Soil_backtrace.raise Over);
  count t;
  flush t

(** [receive t] waits for more, and handles that. A peer that doesn't take what is sent isn't read
    from.
    @raise Over likewise, and at the end of input. *)
let receive t =
  await_unwritten t reply_bytes;
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

let read_for_all t ready =
  as_reader t (fun () ->
      while not (ready () || t.failure <> None) do
        receive t
      done)

(** [poll t] handles what has come while nobody used the connection. Doesn't wait for more. *)
let poll t =
  let has_come () =
    match Soil.Private.would_wait (Input.flow t.input) with Some waits -> not waits | None -> true
  in
  let rec go () =
    if has_come () && t.failure = None then
      match T.timeout_opt 0. (fun () -> receive t) with Some () -> go () | None -> ()
  in
  if not (t.is_reading || t.failure <> None) then as_reader t go

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
    | By_users when not t.is_reading ->
        flush t;
        (* Somebody may read by now. *)
        if not t.is_reading then read_for_all t ready
    | By_users -> await_reader s ready
    | In_scope _ -> wait_for_change s);
    await s ready)

(* Streams *)

let make link stream =
  let s = { link; stream; changed = T.Condition.create (); waiters = 0; is_queued = false; turn = 0; on_reset = ignore } in
  let change () =
    if C.reset_of stream <> None then s.on_reset ();
    if s.waiters > 0 then T.Condition.broadcast s.changed
  in
  C.on_change stream change;
  s
[@@ocamlformat "disable"]

let why = function
  | C.By_peer e -> "reset by the peer: " ^ F.error_to_string e
  | By_this_end e -> "reset: " ^ F.error_to_string e
  | Not_seen -> "refused by the peer"
  | Connection_over -> "the connection has ended"

let fail_reset s operation =
  match C.reset_of s.stream with
  | None -> ()
  | Some reset -> Soil.Error.fail Connection_reset operation ~subject:"stream" ~detail:(why reset)

let is_reset s = C.reset_of s.stream <> None

let read s blit len =
  let t = s.link in
  let ready () = C.unread s.stream > 0 || C.is_received s.stream || is_reset s in
  await s ready;
  if C.unread s.stream = 0 then (if not (C.is_received s.stream) then fail_reset s "read");
  let n = C.take t.conn s.stream blit len in
  if n > 0 then (
    count t;
    if unwritten t > 0 then flush t);
  n
[@@ocamlformat "disable"]

(* Waits until it is the turn of [s]. *)
let await_turn s =
  let t = s.link in
  let is_first () =
    can_send t s && match best_writer t with Some b -> b == s || is_before s b | None -> true
  in
  let ready () = is_reset s || is_first () in
  if not (can_send t s && t.writers = []) then
    if not (ready ()) then (
      t.turn <- t.turn + 1;
      s.turn <- t.turn;
      t.writers <- s :: t.writers;
      let leave () =
        t.writers <- List.filter (fun other -> other != s) t.writers;
        wake_writer t
      in
      let wait () =
        match t.drive with
        | In_scope _ -> await s ready
        | By_users ->
            (* The windows are the peer's to open, the output is this end's to write. *)
            let rec go () =
              if not (ready ()) then (
                if has_room t then await s (fun () -> ready () || not (has_room t)) else flush t;
                go ())
            in
            go ()
      in
      Soil.Private.finally leave wait);
  fail_reset s "write"

(* Sends at most [len] bytes. *)
let write s b off len ~last =
  let t = s.link in
  await_turn s;
  let n = min len (C.room t.conn s.stream) in
  C.send_data t.conn s.stream b off n ~last:(last && n = len);
  flush t;
  n

let rec write_whole s b off len ~last =
  if len > 0 then
    let n = write s b off len ~last in
    write_whole s b (off + n) (len - n) ~last

(** [send_head s fields ~last] sends a head. [sent ()] is called before the other end can have it.
*)
let send_head ?(sent = ignore) s fields ~last =
  await_room s.link;
  fail_reset s "write";
  C.send_head s.link.conn s.stream fields ~last;
  sent ();
  flush s.link

(** [send_text s text] sends [text] as the rest of the body. *)
let send_text s text =
  let b = Bytes.unsafe_of_string text in
  write_whole s b 0 (Bytes.length b) ~last:true

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

(** [release s] gives up what is left of the stream. Doesn't wait. *)
let release s =
  let t = s.link in
  C.release t.conn s.stream;
  count t;
  match t.drive with By_users -> flush_now t | In_scope _ -> flush t

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
    }
  in
  link := Some t;
  t
