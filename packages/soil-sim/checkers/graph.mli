(** Directed graphs whose nodes are the numbers from 0. *)

type t

val create : int -> t
(** [create n] has the nodes from 0 to [n - 1], and no edges. *)

val add : t -> int -> int -> unit
(** [add graph u v] adds the edge from [u] to [v]. *)

val cycle : t -> int list option
(** [cycle graph] is a cycle, if there is any: its nodes, in the order of the edges. It is the
    shortest one through its first node. *)

val closure : t -> int -> int -> bool
(** [closure graph] is a function that tells whether a path of at least one edge leads from one node
    to another. [graph] has no cycle. It takes n²/8 bytes. *)
