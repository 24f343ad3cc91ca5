(** The figures of the dashboard, published every second while somebody watches. *)

type t

val create : Soil.Task.scope -> Chat.t -> t
(** [create scope chat] publishes until [scope] ends. *)

val count_response : t -> unit

val subscribe : t -> Soil.Task.scope -> Soil_http.Events.message Soil.Broadcast.subscription
(** [subscribe t scope] is the last figures, if there are, and those to come; only the newest
    matter, so that a slow client misses the others. *)
