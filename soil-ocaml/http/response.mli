(** Responses of {!Server}. Private to [soil.http]. *)

type ending = Sent | Cut | Unneeded | Not_begun  (** Documented in {!Server.type-ending}. *)

type stream = {
  length : int option;  (** If known. *)
  write : Soil.Flow.sink -> unit;
  on_end : ending -> unit;  (** Called once. *)
}

exception Cut
(** Raised by a stream that ends its connection, for a reason that was reported already. *)

(** The type for bodies. *)
type body =
  | Empty
  | Text of string
  | Buffer of Soil.File_descriptor.buffer
  | Stream of stream
  | Direct of { length : int; send : Output.t -> head:string -> unit }
      (** Sends head and body itself, so that only programs with files link this code. *)
  | Upgrade of (at_stop:((unit -> unit) -> unit) -> Soil.Flow.t -> unit)
      (** [at_stop f] calls [f ()] when the server stops, or at once if it is stopping. *)

type t = { status : Cohttp.Code.status_code; headers : Cohttp.Header.t; body : body }

val head : Buffer.t -> t -> version:Cohttp.Code.version -> framing:Head.framing -> keep:bool -> unit
(** [head b r ~version ~framing ~keep] writes the head of [r] for a request of this version to [b].
*)

val length : t -> int option
(** [length r] is the length of its body, if known. *)
