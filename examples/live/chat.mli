(** The messages of the chat, the last ones of which are kept. *)

type t

val create : unit -> t

val say : t -> name:string -> string -> int
(** [say chat ~name text] publishes [text], and is its number, from 1 on. *)

val count : t -> int
(** [count chat] is the number of messages so far. *)

val subscribe :
  t -> ?after:int -> Soil.Task.scope -> Soil_http.Events.message Soil.Broadcast.subscription
(** [subscribe chat scope] is the messages with a number greater than [after] (default: the last
    ones that are kept), and those to come. Their ids are their numbers. *)
