(** What peers make the program hold, and which of them have to go: {!Budget}, and what {!Serving}
    needs of it. Private to Soil. *)

type t

(** {1 For servers} *)

val server : unit -> int
(** [server ()] is a new server's number. *)

val create_for : int -> t
(** [create_for server] is a new peer of [server]. *)

val wait_quietly : t -> int -> int -> int
(** [wait_quietly t handle direction] is {!Scheduler.wait_ready}[ handle direction], on the
    connection of [t]. If the program hasn't said whether [t] is idle or within a message, the peer
    may be closed meanwhile, after all that are. *)

val evict_for_connections : int -> unit
(** [evict_for_connections n] closes the [n] slowest peers that have had their second. *)

val evict_idle : int -> unit
(** [evict_idle server] closes the peer of [server] that has been idle for the longest time, if that
    is a second. *)

(** {1 {!Budget}} *)

val hold : int -> unit
val give_back : int -> unit
val receive : (unit -> 'a) -> 'a
val limit : unit -> int
val set_limit : int -> unit

type statistics = {
  limit : int;
  held : int;
  peers : int;
  waiting : int;
  refused : int;
  evicted : int;
  collections : int;
}

val statistics : unit -> statistics
val create : unit -> t
val run : t -> (unit -> 'a) -> 'a
val release : t -> unit
val current : unit -> t option
val grow : ?patience:float -> ?wanted:(unit -> bool) -> t -> int -> unit
val count : t -> int -> unit
val is_refusal : exn -> bool
val shrink : t -> int -> unit
val bytes : t -> int
val shrink_to : t -> int -> unit
val awaiting : t -> (unit -> 'a) -> 'a
val idle : t -> unit
val finished : t -> unit
