(** Frames of WebSocket ({{:https://www.rfc-editor.org/rfc/rfc6455#section-5}RFC 6455 §5}). Private
    to [soil.http]. *)

type opcode = Continuation | Text | Binary | Close | Ping | Pong

type head = { final : bool; opcode : opcode; length : int; mask : int32 option }
(** The type for heads of frames. *)

exception Wrong of string
(** The frame breaks the protocol: how. *)

val head : Input.t -> head
(** [head input] waits for the head of a frame and takes it.
    @raise Wrong
      if reserved bits are set, the opcode isn't known, the length isn't written as short as it can
      be, or a control frame is long or in fragments.
    @raise End_of_file if the input ends before. *)

val payload : Input.t -> came:(int -> unit) -> head -> string
(** [payload input ~came h] waits for the bytes behind [h] and takes them, without their mask.
    [came n] is called before each wait, with the number of those that have come. It takes no more
    memory than twice what has come.
    @raise End_of_file if the input ends before. *)

val encode : ?mask:int32 -> ?final:bool -> opcode -> string -> string * string
(** [encode opcode payload] is a frame: its head, and its payload, which is a copy only if it is
    masked. [final] is [true] unless given. *)
