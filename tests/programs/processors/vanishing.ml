(* Memory that vanishes under system calls, see vanishing.c. The reference to [Domain.spawn] gives
   an image several processors. *)

external run : string -> string -> unit = "vanishing_stub"

let _spawn : (unit -> unit) -> unit Domain.t = Sys.opaque_identity Domain.spawn
let () = run Sys.argv.(1) Sys.argv.(2)
