(** The viewer of a process that is its own: one display of 320 by 200 pixels, a keyboard and a
    pointer (the crate [viewer] has the messages). *)

val start : unit -> unit
(** [start ()] gives the process the viewer, before it uses displays or devices. *)

val requests : unit -> int list list
(** [requests ()] is what the process has sent since the last call, in 32-bit words. *)

val resize : width:int -> height:int -> unit
(** [resize ~width ~height] tells another size of the display; of 0 by 0: none. *)

val answer : int -> unit
(** [answer frame] tells that a frame is shown. *)

val key : int -> bool -> unit
(** [key code down] presses or releases a key of the keyboard. *)
