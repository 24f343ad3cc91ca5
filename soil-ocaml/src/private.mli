(** For Soil's own sublibraries with externals, such as [soil-display]. Not for programs: it may
    change with any version. *)

val operation : operation:string -> subject:string -> (int -> int) -> int
(** [operation ~operation ~subject submit] is the outcome of the operation that [submit token]
    starts: its result at once, or after the task has waited. Raises {!Error.Error} if that is
    negative. *)

val check : operation:string -> subject:string -> int -> int
(** [check ~operation ~subject result] is [result], or raises {!Error.Error} if it is negative. *)

val error : operation:string -> subject:string -> int -> exn
(** [error ~operation ~subject result] is the {!Error.Error} for the negative [result] of the last
    call. *)

val text : (int -> int) -> (bytes -> int -> int -> int) -> string
(** [text check get] is the text that Rust copies in [get buffer offset length], which returns its
    whole length; [check] checks that result. *)

val cut : char -> string -> string * string
(** [cut c s] is the parts of [s] before and after the first [c], which both lack it. *)

val print_error : (unit -> string) -> unit
(** [print_error text] writes [text ()] to standard error, ignoring failures. *)

val report : (unit -> string) -> exn -> Printexc.raw_backtrace -> unit
(** [report what e backtrace] writes [what ()], [e] and its backtrace likewise. *)

val recover : exn -> unit
(** [recover e] collects all garbage if [e] reports exhausted memory ([Out_of_memory], or
    {!Error.Error} with that code), at most once a second: call it wherever such an exception is
    caught. Without it no later allocation may succeed, because OCaml's collector advances only as
    the program allocates. *)

val needed_display : (string -> (int * int) * (int * int) list) -> unit
(** [needed_display f] lets {!Needs} know that [f name] is the width and height of that display, and
    those of its modes. [f] raises {!Error.Error} if there is no such display. *)

val needed_input : (unit -> unit) -> unit
(** [needed_input f] lets {!Needs} know that [f ()] raises {!Error.Error} unless there are input
    devices. *)

val peer_failed : _ File_descriptor.t -> exn -> unit
(** [peer_failed d e], called before [e] is raised, marks the peer of [d] as the cause of [e]. It is
    logged in one line, at level info, and {!Tcp.serve} reports it to [on_error] only. *)

val would_wait : [> `Read ] File_descriptor.t -> bool option
(** [would_wait d] is whether a read of [d] would wait, and not give bytes, the end or an error;
    [None] for flows of the program. Doesn't wait, and takes nothing. *)

val write_at_once : [> `Write ] File_descriptor.t -> bytes -> int -> int -> int
(** [write_at_once d b off len] writes as many bytes as [d] takes now, and is their number. It is 0
    for flows of the program, where another task writes, and where writing fails: the next
    {!File_descriptor.write} waits, or raises the error. The range isn't checked. *)

type identifier
(** The type for identifiers, which are random unless they are set, and made when they are asked
    for. *)

val new_identifier : unit -> identifier
val text_of : identifier -> string
val set_identifier : identifier -> string -> unit

val request_id : identifier Task_local.t
(** [request_id] is the identifier of the request for which a task works. A server sets it, and log
    lines show it. It is made when it is first asked for. *)

val current_request_id : unit -> string option
(** [current_request_id ()] is the identifier in {!request_id} of this task; [None] in threads
    without tasks. *)

val finally : (unit -> unit) -> (unit -> 'a) -> 'a
(** [finally finish f] is [f ()]; [finish ()] is called in any case. It links less than
    [Fun.protect]. *)

val undoing : (unit -> unit) -> (unit -> 'a) -> 'a
(** [undoing undo f] is [f ()]; if that raises, [undo ()] comes first. *)

val date : int -> int * int * int
(** [date n] is year, month and day, [n] days after 1970-01-01. *)

module Guard : module type of Guard
module Mailbox : module type of Mailbox
