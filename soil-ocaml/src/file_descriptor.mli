(** Descriptors: console, pipes, TCP connections, files.

    One type for everything that bytes flow through. What only some kinds can do is in the module of
    that kind: {!Soil.Tcp.peer}, {!Soil.Fs.seek} and so on.

    A descriptor is an open object of the machine, and it has to be closed: by {!close}, or by the
    function that opened it for a while ({!with_close}, {!Soil.Fs.with_file}, {!Soil.Tcp.serve}…).
    Any task may use it. Writes of several tasks on one descriptor are each whole calls, in no
    particular order, and so are calls of {!read} and {!read_into}; functions that read on until
    something is complete share the input with other readers.

    {b Waiting.} Functions below that say they {e wait} make their task wait while other tasks run;
    outside {!Soil.run} the whole program waits. A waiting call ends with {!Soil.Task.Cancelled}
    when its task is cancelled. A call that needn't wait doesn't let other tasks run, but for a
    bounded number of calls in a row.

    {b Nothing is lost.} A function that takes something from a descriptor either returns it or has
    taken nothing: whatever it raises, cancellation and time-outs included, bytes, datagrams, frames
    and connections that it had by then are there for the next call. {!copy}, the one function that
    both takes and gives, has written all that it has taken when it raises. Functions that write may
    have written a beginning of what they were given; {!write_some} is the one that tells how much.

    {b Errors.} Unless stated otherwise every function raises {!Soil.exception-Error} with [Closed]
    if the descriptor was closed before or during the call, and with a code that fits if the device,
    the peer or the file system fails. [Invalid_argument] is raised if offset and length aren't a
    range of the buffer. *)

type t = Descriptor.t
(** The type for descriptors. *)

type buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
(** The type for buffers that devices use directly, as in [Bigstringaf] and [Cstruct]. *)

(** The type for kinds of descriptors. *)
type kind = Descriptor.kind =
  | Console
  | Pipe
  | Tcp  (** A connection. *)
  | File
  | Listener  (** See {!Soil.Tcp.listen} and {!Soil.Bound}; neither read nor written. *)
  | Udp  (** See {!Soil.Udp}; neither read nor written. *)
  | Directory  (** Neither read nor written. *)
  | Block  (** See {!Soil.Block}; neither read nor written. *)
  | Ethernet  (** See {!Soil.Ethernet}; neither read nor written. *)

val kind : t -> kind
(** [kind d] is what [d] is, also after [d] was closed. *)

val name : t -> string
(** [name d] is a name for messages: a path, a peer such as ["tcp 10.0.0.9:80"], or ["console"].
    Never raises. *)

val of_console : unit -> t
(** [of_console ()] is the console: reads get standard input, writes go to standard output. A pipe
    or a file comes byte for byte and ends where it ends; a terminal gives a line at a time, and the
    end of input at Ctrl-D. A write waits while the output's reader doesn't read; other tasks run.

    It is one object for the program; closing it does nothing. [print_string] and the like have a
    buffer of their own in front of it, and the whole program waits in them. *)

val of_console_error : unit -> t
(** [of_console_error ()] is like {!of_console} with standard error for writes. *)

(** {1:reading Reading} *)

val read : t -> bytes -> int -> int -> int
(** [read d b off len] waits until [d] has bytes, stores at most [len] of them in [b] from offset
    [off] and is their number. It is [0] at the end of input (the peer won't send more, all write
    ends of the pipe are closed, the end of the file) and if [len] is [0]. *)

val peek : t -> bytes -> int -> int -> int
(** [peek d b off len] is like {!read}, but takes nothing: the bytes are read again by the next
    call, and what comes behind them with them. It doesn't wait for more than there is. *)

val really_read : t -> bytes -> int -> int -> unit
(** [really_read d b off len] is like {!read} for exactly [len] bytes. Raises [End_of_file] if the
    input ends before. Whatever it raises, the bytes that there were are read again by the next
    call. *)

val read_into : t -> buffer -> int -> int -> int
(** [read_into d b off len] is like {!read} into a bigarray: for files the device writes straight
    into it. The buffer must be left alone until the call has returned. *)

val read_all : ?max:int -> t -> string
(** [read_all d] is all of the input that is left, read to its end. Waits. Raises
    {!Soil.exception-Error} with [Too_large] as soon as there are more than [max] bytes (default: 16
    MiB), which then can still be read. *)

(** {1:writing Writing} *)

val write : t -> bytes -> int -> int -> unit
(** [write d b off len] writes the [len] bytes of [b] from offset [off], all of them, and waits for
    room as often as needed. Returning means that the bytes are on their way, not that a peer has
    them or that a disk has (for that, {!Soil.Fs.sync}). Raises {!Soil.exception-Error} with
    [Broken_pipe] if there is no reader any more. *)

val write_some : t -> bytes -> int -> int -> int
(** [write_some d b off len] waits until there is room for at least one byte, writes as many as
    there is room for at once and is their number. It is [0] only if [len] is. *)

val write_string : ?off:int -> ?len:int -> t -> string -> unit
(** [write_string d s] is like {!write} for [len] characters of [s] from [off] (default: all). *)

val writev : t -> string list -> unit
(** [writev d l] writes the strings of [l] in order as one: on a TCP connection they share segments.
    It is cheaper than their concatenation for large strings and than a {!write_string} each for
    small ones. *)

val write_from : t -> buffer -> int -> int -> unit
(** [write_from d b off len] is like {!write} from a bigarray, with no copy to a disk. The buffer
    must not be changed until the call has returned. *)

val copy : ?buffer:int -> src:t -> dst:t -> unit -> int
(** [copy ~src ~dst ()] reads [src] to its end, writes everything to [dst] and is the number of
    bytes. Neither is closed or shut down. It needs one buffer of [buffer] bytes (default: 65536).
    Waits. *)

(** {1:end Shutting down and closing} *)

val shutdown : t -> [ `Receive | `Send | `Both ] -> unit
(** [shutdown d side] ends one direction of a connection or pipe, or both. [`Send]: the peer reads
    what was written before and then the end of input. [`Receive]: what arrives is thrown away, and
    reads are at the end of input. Doesn't wait. Raises {!Soil.exception-Error} with [Wrong_kind] if
    [d] is neither a connection nor a pipe. *)

val close : t -> unit
(** [close d] gives [d] back; calls of other tasks that wait on it end with [Closed]. What was
    written to a connection is still delivered. Closing again does nothing. Never waits, never
    raises; for a file, errors of delayed writes are reported by {!Soil.Fs.sync}. *)

val is_open : t -> bool
(** [is_open d] is [true] iff [d] hasn't been closed. *)

val with_close : t -> (t -> 'a) -> 'a
(** [with_close d f] is [f d]; [d] is closed when that returns or raises, cancellation included. *)

(** {1:buffered Buffered reading}

    For protocols of lines and fixed-size pieces. A call that raises, also because it was cancelled
    or took too long, has taken nothing: the same call later waits for the same line. *)

module Reader : sig
  type descriptor := t

  type t
  (** The type for readers. A reader belongs to one task at a time. *)

  val create : ?size:int -> descriptor -> t
  (** [create d] is a reader of what [d] gives from now on, through a buffer of [size] bytes
      (default: 4096; between 16 and [Sys.max_string_length]). Don't read from [d] by other means
      any more. *)

  val line : ?max:int -> t -> string
  (** [line r] is the next line without its end, which is ["\n"] or ["\r\n"]; the last line needs
      none. Waits. Raises [End_of_file] if there are no characters left. Raises
      {!Soil.exception-Error} with [Too_large] as soon as it is clear that the line is longer than
      [max] bytes (default: 65536), its end not counted; the line is still there then, to be skipped
      by {!input} or read with a larger [max]. *)

  val line_opt : ?max:int -> t -> string option
  (** [line_opt r] is [Some (line r)], or [None] at the end of input. *)

  val exactly : t -> int -> string
  (** [exactly r n] is the next [n] bytes. Waits. Raises [End_of_file] if there are fewer, which
      then can still be read. *)

  val input : t -> bytes -> int -> int -> int
  (** [input r b off len] is like {!read} by way of the buffer. *)

  val peek : t -> char option
  (** [peek r] is the next byte, which stays in the input, or [None] at its end. Waits. *)

  val buffered : t -> int
  (** [buffered r] is the number of bytes that can be had without reading from the descriptor. *)

  val to_end : ?max:int -> t -> string
  (** [to_end r] is {!read_all} by way of the buffer. *)
end
