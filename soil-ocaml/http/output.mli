(** What is sent to a peer, each piece within a limit of time. Private to [soil.http]. *)

type t

val create : Input.t -> seconds:float -> t
(** [create input ~seconds] is the other direction of [input]'s connection; each piece of up to 64
    KiB has to be taken within [seconds], or the call raises {!Soil.Task.Timeout}. *)

val strings : t -> string list -> unit
(** [strings t l] sends the strings as one write. *)

val string : t -> head:string -> string -> unit
(** [string t ~head s] sends [head] and [s], in one piece if [s] is short. *)

val buffer : t -> Soil.File_descriptor.buffer -> int -> int -> unit
(** [buffer t b off len] sends bytes of [b]. *)

val sent : t -> int
(** [sent t] is the number of bytes that were sent. *)

val is_cut : t -> bool
(** [is_cut t] is [true] iff a call that sends has raised, after which a part of what it had to send
    may be missing. Later ones send nothing and raise {!Soil.exception-Error} with [Closed]. *)

val body : t -> framing:Head.framing -> Soil.Flow.sink * (unit -> unit)
(** [body t ~framing] is a flow whose bytes are sent as a body, and a function that ends the body.
    That raises [Failure] if the body is shorter than was promised, as writing to the flow does if
    it is longer. *)
