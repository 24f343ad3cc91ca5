(** Output to a peer, with a timeout for each piece. Private to [soil-http]. *)

type t

val create : Input.t -> seconds:float -> t
(** [create input ~seconds] is the other direction of [input]'s connection; each piece of up to 64
    KiB must be accepted within [seconds], or the call raises {!Soil.Task.Timeout}. *)

val strings : t -> string list -> unit
(** [strings t l] sends the strings as one write. *)

val by_pieces : t -> int -> (int -> int -> unit) -> unit
(** [by_pieces t n send] calls [send off len] for pieces of [n] bytes, which it sends by other
    means, each within its time. *)

val string : t -> head:string -> string -> unit
(** [string t ~head s] sends [head] and [s], in one piece if [s] is short. *)

val buffer : t -> Soil.File_descriptor.buffer -> int -> int -> unit
(** [buffer t b off len] sends bytes of [b]. *)

val sent : t -> int
(** [sent t] is the number of sent bytes. *)

val is_cut : t -> bool
(** [is_cut t] is [true] iff a call that sends has raised, so that the output may be truncated.
    Later calls send nothing and raise {!Soil.exception-Error} with [Closed]. *)

val body : t -> framing:Head.framing -> Soil.Flow.sink * ((string * string) list -> unit)
(** [body t ~framing] is a flow whose bytes are sent as a body, and a function that ends the body,
    with the trailer fields that it is given if the body is chunked. It raises [Failure] if the body
    is shorter than declared; writing to the flow does if it is longer. *)
