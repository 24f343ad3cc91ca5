(** Streams of messages from the other side. *)

type 'a t = 'a Message.reader
(** The type for streams of ['a]s. *)

val next : 'a t -> 'a option
(** [next r] waits for the next message; [None] at the end. It raises {!Status.Failed} if there is
    no further one: the stream violates the protocol, a message exceeds the limit, or for a client
    the call has failed. A cancelled [next] has taken nothing. *)

val iter : ('a -> unit) -> 'a t -> unit
(** [iter f r] runs [f] for each message up to the end. *)

val fold : ('acc -> 'a -> 'acc) -> 'acc -> 'a t -> 'acc

val was_compressed : 'a t -> bool
(** [was_compressed r] is whether the last message came compressed. *)
