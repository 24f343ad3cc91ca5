(** Backtraces for Soil's own libraries. They are compiled without [-g], whose code for [raise]
    would make every image larger, and avoid [Printexc], which links [Printf] and adds 300 KB.
    Programs don't use it: it may change with any version. *)

type t = Printexc.raw_backtrace

external get : unit -> t = "caml_get_exception_raw_backtrace"
(** The backtrace of the last caught exception. *)

external restore : exn -> t -> unit = "caml_restore_raw_backtrace"
(** [restore e bt] makes [bt] the backtrace of the last caught exception. *)

val raise : exn -> 'a
(** [raise e] raises a new exception: its backtrace begins here. *)

val reraise : exn -> t -> 'a
(** [reraise e bt] raises an exception that was caught with [bt], and adds the frames from here. *)
