type t = Printexc.raw_backtrace

external get : unit -> t = "caml_get_exception_raw_backtrace"
external restore : exn -> t -> unit = "caml_restore_raw_backtrace"
external raise_with : exn -> t -> 'a = "%raise_with_backtrace"

(* Inlined, they would be compiled with the flags of the caller. *)
let[@inline never] raise e = Stdlib.raise e
let[@inline never] reraise e backtrace = raise_with e backtrace
