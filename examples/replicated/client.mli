(** Clients of the replicated store.

    A client finds the leader, and tries again after failures, until its deadline.
    {b With a session} (the default) a retry is safe: a command has its effect once. {b Without one}
    a command whose response is missing raises {!Unknown} at once.

    Reads are linearizable: they see all commands that had been answered before the read began. A
    client is for any number of tasks, whose requests go one after the other. *)

type t

exception Unknown of string
(** The command may have had its effect, or have it later, at most once: raised for the reason in
    the string. In a session a later command of this client prevents a later effect. *)

exception Unavailable of string
(** The request had no effect, now or later: no server did it before the deadline. *)

exception Refused of string
(** The cluster refuses the request, for the reason in the string; it had no effect. *)

val create : ?timeout:float -> ?session:bool -> string list -> t
(** [create servers] is a client of the servers with these addresses for clients, such as
    ["10.0.0.1:7001"]. A request takes at most [timeout] seconds (default: 5). Doesn't wait: the
    first request connects. Raises [Invalid_argument] if the list is empty, or has anything but
    addresses with ports. *)

val close : t -> unit
(** [close t] closes the connection, if there is one. *)

(** {1 Keys}

    Keys have at most {!Command.max_key} bytes, and values {!Command.max_value}; [Invalid_argument]
    is raised otherwise. All functions wait, and raise {!Unavailable}; those that change something
    also {!Unknown}, and {!append} raises {!Refused} if the value would be too long. *)

val get : t -> string -> string option
(** [get t key] is the value of [key]. *)

val put : t -> string -> string -> unit
(** [put t key value] binds [key] to [value]. *)

val delete : t -> string -> bool
(** [delete t key] unbinds [key], and is [true] iff it had a value. *)

val compare_and_set : t -> string -> expected:string option -> string option -> bool
(** [compare_and_set t key ~expected value] binds [key] to [value] (unbinds it for [None]) and is
    [true] if its value is [expected]; otherwise it does nothing, and is [false]. *)

val append : t -> string -> string -> unit
(** [append t key s] adds [s] at the end of the value of [key]; an unbound key has the empty one. *)

(** {1 Members} *)

val members : t -> Message.configuration
(** [members t] is the members, also those whose change isn't committed yet. *)

val add_server : t -> id:int -> address:string -> unit
(** [add_server t ~id ~address] adds a learner, with the address of its port for servers. It becomes
    a voter when it has the log. An existing member stays as it is. Raises {!Refused} while another
    change is in progress, {!Unknown} and {!Unavailable}: adding it again is safe. *)

val remove_server : t -> int -> unit
(** [remove_server t id] removes a member, if it is one. Raises as {!add_server}, and {!Refused} for
    the last voter. *)
