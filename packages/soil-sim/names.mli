(** The name server of the network, at 10.0.0.254, which every node uses: names of nodes and their
    addresses (RFC 1035), and its faults. Private to Soil. *)

type t
(** The type for name servers. *)

val create : unit -> t
(** [create ()] knows no names. *)

val address : string
(** [address] is its IP address. *)

val set : t -> string -> string option -> unit
(** [set t name address] is what it says of a name, such as ["db0"]: an IP address, or that there is
    none. *)

val addresses : t -> (string * string) list
(** [addresses t] are its names with their addresses. *)

type trouble = {
  mutable late : int;  (** Nanoseconds before it answers. *)
  mutable silent : bool;
  mutable lies : (string * string) list;  (** Other addresses of names. *)
}
(** The type for its faults. *)

val trouble : t -> trouble
(** [trouble t] are its faults. *)

val answer : t -> string -> (int * string) option
(** [answer t frame] is its answer to a frame, if there is one: after so many nanoseconds, a frame.
*)
