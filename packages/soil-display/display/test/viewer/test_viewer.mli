(** A VNC client in the process itself, of one display of 320 by 200 pixels with a keyboard and a
    pointer (RFC 6143). *)

val start : unit -> unit
(** [start ()] connects the client, before the process uses displays or devices. *)

val updates : unit -> (int * int * int * int) list
(** [updates ()] is the rectangles of pixels that the client got since the last call: column, row,
    width and height. *)

val resize : width:int -> height:int -> unit
(** [resize ~width ~height] requests another size of the display. *)

val request : unit -> unit
(** [request ()] requests the next update, until which frames wait for up to a second. *)

val key : int -> bool -> unit
(** [key code down] presses or releases a key of the keyboard, by its scan code. *)
