(** Turns results of the Rust side into exceptions, and reports exceptions on the console. Private
    to Soil. *)

val code : int -> Error.code
(** [code r] is the code of the negative result [r]. *)

val error : operation:string -> subject:string -> int -> exn
(** [error ~operation ~subject r] is [Error] for the negative result [r] of the last call, with its
    detail. *)

val fail : operation:string -> subject:string -> int -> 'a
(** [fail ~operation ~subject r] raises {!error}[ ~operation ~subject r]. *)

val fail_with : operation:string -> subject:string -> detail:string -> int -> 'a
(** [fail_with] is {!fail} with the detail given. *)

val check : operation:string -> subject:string -> int -> int
(** [check ~operation ~subject r] is [r], or fails if that is negative. *)

val detail_of : int -> string
(** [detail_of token] is the detail of the failed operation that completed with [token]. *)

(** {1 Exceptions} *)

type backtrace = Soil_backtrace.t

external get_backtrace : unit -> backtrace = "caml_get_exception_raw_backtrace"
(** The backtrace of the last caught exception. Soil avoids [Printexc], which links [Printf] and
    adds 300 KB. *)

external restore_backtrace : exn -> backtrace -> unit = "caml_restore_raw_backtrace"
(** [restore_backtrace e bt] makes [bt] the backtrace of the last caught exception. *)

exception Cancelled
(** [Task.Cancelled]. *)

val printer : exn -> string option
(** [printer] prints Soil's exceptions, with their public names. It is registered with [Printexc] in
    programs that link that module. *)

val exception_to_string : exn -> string
(** [exception_to_string e] is [Printexc.to_string e] if the program links that module, otherwise
    Soil's subset of it. *)

val undoing : (unit -> unit) -> (unit -> 'a) -> 'a
(** [undoing undo f] is [f ()]; if that raises, [undo ()] comes first. *)

val finally : (unit -> unit) -> (unit -> 'a) -> 'a
(** [finally finish f] is [f ()]; [finish ()] is called in any case. *)

val print : (unit -> string) -> unit
(** [print text] writes [text ()] to the standard error channel, and flushes it. It ignores
    failures, because standard error is unwritable or memory is short: a report must not end what it
    reports on. *)

val report : (unit -> string) -> exn -> backtrace -> unit
(** [report what e bt] writes [what ()], [e] and its backtrace likewise. *)

val record_backtraces : unit -> unit
(** Enables recording of backtraces, unless [OCAMLRUNPARAM] is set. *)
