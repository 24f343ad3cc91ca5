(** WebSocket frames ({{:https://www.rfc-editor.org/rfc/rfc6455#section-5}RFC 6455 §5}). Private to
    [soil-http]. *)

type opcode = Continuation | Text | Binary | Close | Ping | Pong

type head = { final : bool; opcode : opcode; length : int; mask : int32 option }
(** The type for frame headers. *)

exception Wrong of string
(** The frame violates the protocol, for this reason. *)

val head : Input.t -> head
(** [head input] waits for a frame header and takes it.
    @raise Wrong
      if reserved bits are set, the opcode is unknown, the length isn't minimally encoded, or a
      control frame is long or fragmented.
    @raise End_of_file if the input ends before. *)

val payload : Input.t -> came:(int -> unit) -> head -> string
(** [payload input ~came h] waits for the payload after [h] and takes it, unmasked. [came n] is
    called before each wait, with the number of received bytes. It allocates at most twice the
    received bytes.
    @raise End_of_file if the input ends before. *)

val encode : ?mask:int32 -> ?final:bool -> opcode -> string -> string * string
(** [encode opcode payload] is a frame: its head, and its payload, which is a copy only if it is
    masked. [final] defaults to [true]. *)
