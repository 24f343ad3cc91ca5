(** Code shared by {!File_descriptor} and the modules of single kinds. Private to Soil. *)

exception Of_peer of exn
(** In [failure]: an exception of a protocol on the descriptor, caused by the peer. *)

type state = ..
type side = [ `Receive | `Send | `Both ]

type t = {
  handle : int;  (** The number in Rust's table, with its generation. *)
  io : io;
  mutable path : string;  (** The opened path, the peer of a closed connection, or [""]. *)
  mutable is_open : bool;
  mutable back : bytes;  (** Bytes that were read and returned, from [taken] on. *)
  mutable taken : int;
  mutable failure : exn;  (** The last exception of input or output, or {!Of_peer}. *)
  mutable writer : Scheduler.fiber;  (** The fiber in {!exclusively}, or [Scheduler.no_fiber]. *)
  mutable writers : Scheduler.fiber Waiters.t;  (** Fibers that wait for {!exclusively}. *)
  mutable thread : int;  (** The thread in {!exclusively} outside [run], or 0. *)
  mutable turns : turns;
  mutable wait : int -> int -> int;  (** {!Scheduler.wait_ready}, by which {!retry} waits. *)
}

and turns = {
  take : t -> Scheduler.fiber -> int -> unit;
      (** [take d fiber thread] waits and calls {!claim}[ d fiber thread]. *)
  next : t -> unit;  (** Lets the first waiting fiber or thread {!claim}. *)
}
(** Waiting of fibers and threads for {!exclusively}. *)

and io = {
  read : t -> bytes -> int -> int -> int;
  read_into : t -> Pool.buffer -> int -> int -> int;
  write : t -> bytes -> int -> int -> int;  (** At least one byte, unless the length is 0. *)
  write_from : t -> Pool.buffer -> int -> int -> int;
  unread : t -> bytes -> int -> int -> unit;
      (** Returns the bytes read last, so that the next read gets them again. *)
  shutdown : t -> side -> unit;
  close : (t -> unit) option;  (** [None]: the descriptor stays open. *)
  describe : t -> string;
  state : state option;  (** Of flows. *)
}
(** Input and output of one kind of descriptor. The caller has checked offsets and lengths. *)

(* The queue of descriptors that never needed one. *)
let no_queue : Scheduler.fiber Waiters.t = Waiters.create ()
let no_thread = 0

(* Tasks wait in [writers], in which only their own thread wakes them. *)
let turns_of_tasks =
  let take d _ _ =
    if d.writers == no_queue then d.writers <- Waiters.create ();
    (* [end_task] hands over. *)
    Scheduler.wait_in d.writers
  in
  { take; next = ignore }

(** [make io handle] is an open descriptor. *)
let make ?(path = "") io handle =
  {
    handle;
    io;
    path;
    is_open = true;
    back = Bytes.empty;
    taken = 0;
    failure = Not_found;
    writer = Scheduler.no_fiber;
    writers = no_queue;
    thread = no_thread;
    turns = turns_of_tasks;
    wait = Scheduler.wait_ready;
  }

(** [fail d operation result] raises the error for [result]. *)
let fail d operation result =
  let e = Failure.error ~operation ~subject:(d.io.describe d) result in
  d.failure <- e;
  Soil_backtrace.raise e

(** [retry d operation direction result] waits until [d] is ready in [direction] if
    [result = would_block], and fails for any other [result]. *)
let retry d operation direction result =
  if result = Soil_raw.would_block then (
    let result = d.wait d.handle direction in
    if result < 0 then fail d operation result)
  else fail d operation result

(** [attempt d operation direction f] is the first result of [f ()] that isn't negative. It waits by
    {!retry} before each further call. *)
let rec attempt d operation direction f =
  Scheduler.spend ();
  let n = f () in
  if n >= 0 then Scheduler.at_once operation n
  else (
    retry d operation direction n;
    attempt d operation direction f)

(** [finish ~operation ~subject handle direction poll] calls [poll handle], and again when [handle]
    is ready in [direction], until the result isn't [would_block]. It fails if that is negative. *)
let rec finish ~operation ~subject handle direction poll =
  let result = poll handle in
  if result = Soil_raw.would_block then (
    let result = Scheduler.wait_ready handle direction in
    ignore (Failure.check ~operation ~subject result);
    finish ~operation ~subject handle direction poll)
  else ignore (Failure.check ~operation ~subject result)

(* Bytes that were given back are read first. *)

(** [given_back d] is the number of returned bytes that haven't been read again. *)
let given_back d = Bytes.length d.back - d.taken

(** [forget d] drops the returned bytes. *)
let forget d =
  d.back <- Bytes.empty;
  d.taken <- 0

(** [take_back d copy len] takes [n <= len] of these bytes with [copy bytes at n], and is [n]. *)
let take_back d copy len =
  let n = min len (given_back d) in
  copy d.back d.taken n;
  d.taken <- d.taken + n;
  if given_back d = 0 then forget d;
  n

(** [unread d b off len] returns the bytes to the input. *)
let unread d b off len =
  if len > 0 && d.is_open then (
    let rest = given_back d in
    let joined = Bytes.create (len + rest) in
    Bytes.blit b off joined 0 len;
    Bytes.blit d.back d.taken joined len rest;
    d.back <- joined;
    d.taken <- 0)

(* Takes nothing: bytes that are read here join those that were given back. *)
let peek d b off len =
  let given = given_back d in
  if given = 0 then (
    let n = d.io.read d b off len in
    d.io.unread d b off n;
    n)
  else (
    (if given < len then
       let more = Bytes.create (len - given) in
       let n = Soil_raw.fd_read d.handle more 0 (len - given) in
       if n > 0 then (
         d.back <- Bytes.cat (Bytes.sub d.back d.taken given) (Bytes.sub more 0 n);
         d.taken <- 0));
    let n = min len (given_back d) in
    Bytes.blit d.back d.taken b off n;
    n)

(* Each yields, if it has to, before it moves bytes, so that a cancellation loses none. *)

let rec read_by take blit d b off len =
  Scheduler.spend ();
  if given_back d > 0 then take_back d (fun back at n -> blit back at b off n) len
  else
    let n = take d.handle b off len in
    if n >= 0 then Scheduler.at_once "read" n
    else (
      retry d "read" Soil_raw.park_read n;
      read_by take blit d b off len)

let rec write_by give d b off len =
  Scheduler.spend ();
  let n = give d.handle b off len in
  if n >= 0 then Scheduler.at_once "write" n
  else (
    retry d "write" Soil_raw.park_write n;
    write_by give d b off len)

let shutdown d side =
  let how = match side with `Receive -> 0 | `Send -> 1 | `Both -> 2 in
  let result = Soil_raw.fd_shutdown d.handle how in
  if result < 0 then fail d "shutdown" result

(** [close_handle d] closes [d]'s handle. *)
let close_handle d = ignore (Soil_raw.fd_close d.handle)

(** [stream_io describe] tries each operation, and waits for readiness while it would block. [close]
    (default: {!close_handle}) closes the handle. *)
let stream_io ?(close = close_handle) describe =
  {
    read = read_by (fun handle b off len -> Soil_raw.fd_read handle b off len) Bytes.blit;
    read_into =
      read_by (fun handle b off len -> Soil_raw.fd_read_buffer handle b off len) Pool.of_bytes;
    write = write_by (fun handle b off len -> Soil_raw.fd_write handle b off len);
    write_from = write_by (fun handle b off len -> Soil_raw.fd_write_buffer handle b off len);
    unread;
    shutdown;
    close = Some close;
    describe;
    state = None;
  }

(* The types of descriptors keep programs from calling these. *)

let impossible _ _ _ _ = assert false

(** [no_shutdown] is for descriptors without shutdown. *)
let no_shutdown _ _ = assert false

(** [no_io describe] is for descriptors without reads and writes. *)
let no_io describe =
  {
    read = impossible;
    read_into = impossible;
    write = impossible;
    write_from = impossible;
    unread = impossible;
    shutdown = no_shutdown;
    close = Some close_handle;
    describe;
    state = None;
  }

(* Writing. A descriptor's writer is a task, or a thread outside of [run]. Once another thread than
   the first has written, all that write wait in turns of threads. Whatever a thread may change
   between two others' steps is changed where OCaml doesn't change threads (Threads). *)

(** [is_busy d] is [true] iff a task or thread is inside {!exclusively}[ d]. *)
let is_busy d =
  d.thread <> no_thread || not (d.writer == Scheduler.no_fiber || Scheduler.is_over d.writer)

(** [claim d fiber thread] makes the fiber or thread (the other is none) the one inside. *)
let claim d fiber thread =
  d.writer <- fiber;
  d.thread <- thread

let begin_writing d fiber thread =
  if is_busy d then d.turns.take d fiber thread else claim d fiber thread

(** [end_writing d] ends {!claim}. *)
let end_writing d =
  claim d Scheduler.no_fiber no_thread;
  d.turns.next d

(* The writers' tasks go first: they came before the first other thread. *)
let end_task d =
  match Scheduler.wake_first d.writers with
  | Some fiber -> d.writer <- fiber
  | None -> end_writing d

let exclusively_in_thread d f =
  let thread = Soil_raw.thread () in
  if d.thread = thread then f ()
  else (
    begin_writing d Scheduler.no_fiber thread;
    Failure.finally (fun () -> end_writing d) f)

(** [!turns_of_threads ()] are the turns of a descriptor to which another thread than the first
    writes. *)
let turns_of_threads : (unit -> turns) ref = ref Blocking.missing

(** [exclusively d f] is [f ()] with exclusive access to [d]: it waits while another task is inside
    [exclusively d]. *)
let exclusively d f =
  if Owner.is_other () then (
    (if d.turns == turns_of_tasks then
       let turns = !turns_of_threads () in
       if d.turns == turns_of_tasks then d.turns <- turns);
    exclusively_in_thread d f)
  else
    let self = Scheduler.self () in
    if self == Scheduler.no_fiber then exclusively_in_thread d f
    else if d.writer == self then f ()
    else (
      begin_writing d self no_thread;
      Failure.finally (fun () -> end_task d) f)

(** [close d] closes [d] unless it is closed, or stays open. *)
let close d =
  Owner.check_domain ();
  match d.io.close with
  | Some close when d.is_open ->
      d.is_open <- false;
      forget d;
      close d
  | Some _ | None -> ()

(** [closed_on_failure d f] is [f ()]; if that raises, [d] is closed first. *)
let closed_on_failure d f = Failure.undoing (fun () -> close d) f

(** [closing d f] is [f d]; [d] is closed in any case. *)
let closing d f =
  let result = closed_on_failure d (fun () -> f d) in
  close d;
  result

let out_of_range operation = invalid_arg ("Soil: " ^ operation ^ ": not a range of the buffer")

(** [check_bytes operation b off len] raises [Invalid_argument] unless the range is in [b]. *)
let check_bytes operation b off len =
  if off < 0 || len < 0 || off > Bytes.length b - len then out_of_range operation

(** [check_buffer] is {!check_bytes} for bigarrays. *)
let check_buffer operation b off len =
  if off < 0 || len < 0 || off > Bigarray.Array1.dim b - len then out_of_range operation

(* Reading on *)

(** [fill read len got] reads by [read at n] until [!got], which it keeps up to date, is [len].
    Raises [End_of_file] if the input ends before. *)
let rec fill read len got =
  if !got < len then (
    let n = read !got (len - !got) in
    if n = 0 then Soil_backtrace.raise End_of_file;
    got := !got + n;
    fill read len got)

(** [too_large operation subject max] raises the error [Too_large] for more than [max] bytes. *)
let too_large operation subject max =
  let detail = "more than " ^ string_of_int max ^ " bytes" in
  Error.fail Too_large operation ~subject ~detail

(* A size on a disk may be any. *)

(** [buffer operation subject n] is [n] bytes for disk contents. Raises the error [Out_of_memory] if
    they don't fit into memory. *)
let buffer operation subject n =
  match Bytes.create n with
  | b -> b
  | exception (Stdlib.Out_of_memory | Invalid_argument _) ->
      Error.fail Out_of_memory operation ~subject
        ~detail:("no memory for " ^ string_of_int n ^ " bytes")

(** [default_max] is 16 MiB. *)
let default_max = 16 * 1024 * 1024

(** [read_to_end max ~already ~undo d] is [already] and the rest of the input; [undo] is called if
    it raises, also [Too_large] for more than [max] bytes. *)
let read_to_end max ~already ~undo d =
  let piece = Bytes.create 16384 in
  let pieces = ref [ already ] and length = ref (Bytes.length already) in
  let joined () = Bytes.concat Bytes.empty (List.rev !pieces) in
  let rec go () =
    if !length > max then too_large "read" (d.io.describe d) max;
    let n = d.io.read d piece 0 (Bytes.length piece) in
    if n > 0 then (
      pieces := Bytes.sub piece 0 n :: !pieces;
      length := !length + n;
      go ())
  in
  Failure.undoing (fun () -> undo (joined ())) go;
  Bytes.unsafe_to_string (joined ())
