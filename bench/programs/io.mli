(** The system interface of the benchmark programs. Implemented once on {!Soil} and once on [Unix],
    so that the programs themselves are the same source on both. *)

type buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
(** Memory for sockets and disks without a copy on the OCaml side. *)

type listener
(** A listening TCP port. *)

type connection
(** A TCP connection. *)

type file
(** A file, or a whole disk. *)

val run : (unit -> unit) -> unit
(** [run main] is [main ()] under the machine's scheduler, if any. *)

val buffer : int -> buffer
(** [buffer n] is [n] bytes. *)

val disk_buffer : int -> buffer
(** [disk_buffer n] is [n] bytes, aligned for direct disk access. *)

(** {1 TCP, with [TCP_NODELAY]} *)

val listen : int -> listener
(** [listen port] starts listening on [port]. *)

val serve_chunks : listener -> (unit -> bytes -> int -> int) -> response:bytes -> unit
(** [serve_chunks listener client ~response] serves any number of concurrent connections,
    indefinitely. [client ()] is called for each new connection; its result is called with each
    received chunk (buffer, length) and returns how many times [response] is sent. *)

val serve_one : listener -> (connection -> unit) -> unit
(** [serve_one listener f] runs [f] on one connection at a time, indefinitely. *)

val read : connection -> buffer -> int
(** [read c b] is the number of bytes read into [b]; [0] at the end. *)

val write : connection -> buffer -> int -> unit
(** [write c b n] sends the first [n] bytes of [b]. *)

(** {1 UDP} *)

type socket
(** A UDP port. *)

type address
(** The sender of a datagram. *)

val bind : int -> socket
(** [bind port] binds [port]. *)

val receive : socket -> bytes -> int * address
(** [receive s b] waits for a datagram. *)

val send : socket -> address -> bytes -> int -> unit
(** [send s a b n] sends the first [n] bytes of [b], waiting for room. *)

(** {1 Disks and files} *)

val open_disk : unit -> file
(** The whole disk, bypassing caches. *)

val read_disk : file -> buffer -> at:int -> unit
(** [read_disk f b ~at] fills [b] from byte [at], a multiple of 512. *)

val open_file : string -> write:bool -> file
(** [open_file name ~write] is the file [name] on the disk's file system; created if [write]. *)

val read_file : file -> buffer -> int
(** As {!read}. *)

val write_file : file -> buffer -> unit
(** Writes all of the buffer. *)

val finish_file : file -> unit
(** Syncs and closes the file. *)

val write_disk : file -> buffer -> at:int -> unit
(** [write_disk f b ~at] writes [b] at byte [at], a multiple of 512. *)

val transfers : file -> write:bool -> depth:int -> size:int -> int array -> unit
(** [transfers f ~write ~depth ~size positions] reads or writes [size] bytes of a disk at each of
    the positions, [depth] at a time. *)

val flush : file -> unit
(** [flush f] returns when the data written to the file or disk is durable. *)

val flush_all : unit -> unit
(** {!flush} for all files. *)

val close_file : file -> unit
(** [close_file f] closes the file without a flush. *)

val now : unit -> float
(** Seconds since an unspecified time. *)
