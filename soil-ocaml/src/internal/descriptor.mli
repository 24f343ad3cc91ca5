(** Code shared by {!File_descriptor} and the modules of single kinds. Private to Soil. *)

exception Of_peer of exn
(** In [failure]: an exception of a protocol on the descriptor, caused by the peer. *)

type state = ..
(** Documented in {!Flow.state}. *)

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

val make : ?path:string -> io -> int -> t
(** [make io handle] is an open descriptor. *)

val stream_io : ?close:(t -> unit) -> (t -> string) -> io
(** [stream_io describe] tries each operation, and waits for readiness while it would block. [close]
    (default: {!close_handle}) closes the handle. *)

val no_io : (t -> string) -> io
(** [no_io describe] is for descriptors without reads and writes. *)

val no_shutdown : t -> side -> unit
(** [no_shutdown] is for descriptors without shutdown. *)

val close_handle : t -> unit
(** [close_handle d] closes [d]'s handle. *)

val given_back : t -> int
(** [given_back d] is the number of returned bytes that haven't been read again. *)

val take_back : t -> (bytes -> int -> int -> unit) -> int -> int
(** [take_back d copy len] takes [n <= len] of these bytes with [copy bytes at n], and is [n]. *)

val unread : t -> bytes -> int -> int -> unit
(** [unread d b off len] returns the bytes to the input. *)

val peek : t -> bytes -> int -> int -> int
(** Documented in {!File_descriptor.peek}. *)

val forget : t -> unit
(** [forget d] drops the returned bytes. *)

val retry : t -> string -> int -> int -> unit
(** [retry d operation direction result] waits until [d] is ready in [direction] if
    [result = would_block], and fails for any other [result]. *)

val attempt : t -> string -> int -> (unit -> int) -> int
(** [attempt d operation direction f] is the first result of [f ()] that isn't negative. It waits by
    {!retry} before each further call. *)

val finish : operation:string -> subject:string -> int -> int -> (int -> int) -> unit
(** [finish ~operation ~subject handle direction poll] calls [poll handle], and again when [handle]
    is ready in [direction], until the result isn't [would_block]. It fails if that is negative. *)

val fail : t -> string -> int -> 'a
(** [fail d operation result] raises the error for [result]. *)

val exclusively : t -> (unit -> 'a) -> 'a
(** [exclusively d f] is [f ()] with exclusive access to [d]: it waits while another task is inside
    [exclusively d]. *)

val is_busy : t -> bool
(** [is_busy d] is [true] iff a task or thread is inside {!exclusively}[ d]. *)

val claim : t -> Scheduler.fiber -> int -> unit
(** [claim d fiber thread] makes the fiber or thread (the other is none) the one inside. *)

val end_writing : t -> unit
(** [end_writing d] ends {!claim}. *)

val turns_of_threads : (unit -> turns) ref
(** [!turns_of_threads ()] are the turns of a descriptor to which another thread than the first
    writes. *)

val close : t -> unit
(** [close d] closes [d] unless it is closed, or stays open. *)

val closing : t -> (t -> 'a) -> 'a
(** [closing d f] is [f d]; [d] is closed in any case. *)

val closed_on_failure : t -> (unit -> 'a) -> 'a
(** [closed_on_failure d f] is [f ()]; if that raises, [d] is closed first. *)

val check_bytes : string -> bytes -> int -> int -> unit
(** [check_bytes operation b off len] raises [Invalid_argument] unless the range is in [b]. *)

val check_buffer : string -> Pool.buffer -> int -> int -> unit
(** [check_buffer] is {!check_bytes} for bigarrays. *)

(** {1 Repeated reads} *)

val fill : (int -> int -> int) -> int -> int ref -> unit
(** [fill read len got] reads by [read at n] until [!got], which it keeps up to date, is [len].
    Raises [End_of_file] if the input ends before. *)

val too_large : string -> string -> int -> 'a
(** [too_large operation subject max] raises the error [Too_large] for more than [max] bytes. *)

val buffer : string -> string -> int -> bytes
(** [buffer operation subject n] is [n] bytes for disk contents. Raises the error [Out_of_memory] if
    they don't fit into memory. *)

val default_max : int
(** [default_max] is 16 MiB. *)

val read_to_end : int -> already:bytes -> undo:(bytes -> unit) -> t -> string
(** [read_to_end max ~already ~undo d] is [already] and the rest of the input; [undo] is called if
    it raises, also [Too_large] for more than [max] bytes. *)
