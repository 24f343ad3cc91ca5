(** Descriptors: console, pipes, TCP connections, files.

    One type covers all byte streams and sockets; its parameter lists the supported operations.
    {!read} takes an [[> `Read ] t], any readable descriptor, so {!Soil.Tcp.connection} and
    {!Soil.Fs.file} but not {!Soil.Tcp.listener}. Operations of one kind only are in the module of
    that kind, such as {!Soil.Tcp.peer} and {!Soil.Fs.seek}.

    A descriptor is an open object of the machine and must be closed, by {!close} or by the function
    that opened it for a scope ({!with_close}, {!Soil.Fs.with_file}, {!Soil.Tcp.serve}…). Any task
    may use it. Concurrent writes to one descriptor are atomic calls in no particular order, and so
    are calls of {!read} and {!read_into}; functions with several reads share the input with other
    readers.

    {b Waiting.} A function that {e waits} suspends its task while other tasks run; outside
    {!Soil.run} the whole program waits. A waiting call raises {!Soil.Task.Cancelled} when its task
    is cancelled. A call that needn't wait returns without letting other tasks run, but only for a
    bounded number of consecutive calls.

    {b Nothing is lost.} A function that takes input from a descriptor either returns it or consumes
    none: if it raises, also because of a cancellation or a timeout, the bytes, datagrams, frames
    and connections that it had received remain for the next call. {!copy}, the only function that
    both reads and writes, has written everything that it has read when it raises. A function that
    writes may have written a prefix of its data when it raises; only {!write_some} returns the
    length.

    {b Errors.} Unless stated otherwise every function raises {!Soil.exception-Error} with [Closed]
    if the descriptor was closed before or during the call, and with another code if the device, the
    peer or the file system fails. It raises [Invalid_argument] if offset and length aren't a range
    of the buffer. *)

type -'can t
(** The type for descriptors with the operations ['can]: one tag for each group of functions, such
    as [`Read]. Functions accept descriptors with more operations than they need. A coercion gives
    different kinds a common type, for example in a list:
    [[ (file :> source); (connection :> source) ]]. *)

type source = [ `Read ] t
(** The type for readable descriptors. *)

type sink = [ `Write ] t
(** The type for writable descriptors. *)

type flow = [ `Read | `Write | `Shutdown ] t
(** The type for bidirectional streams that can be shut down, such as connections. *)

type console = [ `Read | `Write ] t
(** The type for the console. *)

type buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
(** The type for buffers that devices use directly, as in [Bigstringaf] and [Cstruct]. *)

val name : _ t -> string
(** [name d] is the name of [d] in messages: a path, a peer such as ["tcp 10.0.0.9:80"],
    ["console"]. Never raises. *)

val of_console : unit -> console
(** [of_console ()] is the console: reads take standard input, writes go to standard output. A pipe
    or a file is passed byte for byte, with its end; a terminal delivers a line at a time, and the
    end of input at Ctrl-D. A write waits while the output's reader doesn't read; other tasks run.

    The program has one console; closing it does nothing. [print_string] and other functions of
    [Stdlib] use a separate buffer, and block the whole program. *)

val of_console_error : unit -> sink
(** [of_console_error ()] is standard error; otherwise like {!of_console}. *)

(** {1:reading Reading} *)

val read : [> `Read ] t -> bytes -> int -> int -> int
(** [read d b off len] waits until [d] has bytes, stores at most [len] of them in [b] from offset
    [off] and is their number. The result is [0] at the end of input (the peer has shut down its
    side, all write ends of the pipe are closed, the file ends) and if [len] is [0].

    For a connection, a pipe or the console the bytes are stored at the end of the wait, and no
    other task of this thread runs before the return: waiting tasks may share one [b]. *)

val peek : [> `Read ] t -> bytes -> int -> int -> int
(** [peek d b off len] is like {!read}, but leaves the bytes in the input: the next call reads them
    again, with the bytes after them. It waits only while there are none. *)

val really_read : [> `Read ] t -> bytes -> int -> int -> unit
(** [really_read d b off len] is like {!read} for exactly [len] bytes. Raises [End_of_file] if the
    input is shorter. If it raises, the next call reads the same bytes again. *)

val read_into : [> `Read ] t -> buffer -> int -> int -> int
(** [read_into d b off len] is like {!read} into a bigarray, for files without a copy. Don't use the
    buffer until the call returns. *)

val read_all : ?max:int -> [> `Read ] t -> string
(** [read_all d] is the rest of the input, up to its end. Waits. Raises {!Soil.exception-Error} with
    [Too_large] as soon as there are more than [max] bytes (default: 16 MiB), which can then still
    be read. *)

(** {1:writing Writing} *)

val write : [> `Write ] t -> bytes -> int -> int -> unit
(** [write d b off len] writes all [len] bytes of [b] from offset [off], and waits for buffer space
    as often as needed. When it returns, the bytes are queued; the peer may not have received them,
    nor the disk stored them (for that, see {!Soil.Fs.sync}). Raises {!Soil.exception-Error} with
    [Broken_pipe] if there is no reader. *)

val write_some : [> `Write ] t -> bytes -> int -> int -> int
(** [write_some d b off len] waits until there is space for at least one byte, writes as many as fit
    and is their number. The result is [0] only if [len] is. *)

val write_string : ?off:int -> ?len:int -> [> `Write ] t -> string -> unit
(** [write_string d s] is like {!write} for [len] characters of [s] from [off] (default: all). *)

val writev : [> `Write ] t -> string list -> unit
(** [writev d l] writes the strings of [l] in order as one write: on a TCP connection they share
    segments. It is cheaper than concatenating large strings, and than a {!write_string} for each
    small one. *)

val write_from : [> `Write ] t -> buffer -> int -> int -> unit
(** [write_from d b off len] is like {!write} from a bigarray, without a copy on the way to a disk.
    Don't change the buffer until the call returns. *)

val copy : ?buffer:int -> src:[> `Read ] t -> dst:[> `Write ] t -> unit -> int
(** [copy ~src ~dst ()] reads [src] to its end, writes everything to [dst] and is the number of
    bytes, through one buffer of [buffer] bytes (default: 65536). It doesn't close or shut down the
    descriptors. Waits. *)

(** {1:end Shutting down and closing} *)

val shutdown : [> `Shutdown ] t -> [ `Receive | `Send | `Both ] -> unit
(** [shutdown d side] ends one direction of a connection or pipe, or both. After [`Send] the peer
    reads the bytes written before and then the end of input. After [`Receive] incoming bytes are
    dropped, and reads are at the end of input. Doesn't wait. *)

val close : _ t -> unit
(** [close d] closes [d]; calls of other tasks that wait for it raise [Closed]. Bytes written to a
    connection are still delivered. Closing again does nothing. Never waits, never raises;
    {!Soil.Fs.sync} reports errors of delayed writes to a file. *)

val is_open : _ t -> bool
(** [is_open d] is [true] iff [d] hasn't been closed. *)

val with_close : 'can t -> ('can t -> 'a) -> 'a
(** [with_close d f] is [f d]; [d] is closed when that returns or raises, also by cancellation. *)

val own : Task.scope -> 'can t -> 'can t
(** [own scope d] is [d], which is closed at the end of [scope], by {!Task.on_release}:
    [let c = own scope (Tcp.connect e) in …]. Raises [Invalid_argument] and closes [d] if [scope]
    has ended. *)
