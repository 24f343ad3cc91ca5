(** A viewer in the process itself: one display of 320 by 200 pixels, a keyboard and a pointer (the
    crate [viewer] has the messages). *)

val start : unit -> unit
(** [start ()] starts the viewer, before the process uses displays or devices. *)

val requests : unit -> int list list
(** [requests ()] is the messages of the process since the last call, in 32-bit words. *)

val resize : width:int -> height:int -> unit
(** [resize ~width ~height] changes the size of the display; 0 by 0 disconnects it. *)

val answer : int -> unit
(** [answer frame] acknowledges a frame. *)

val key : int -> bool -> unit
(** [key code down] presses or releases a key of the keyboard. *)
