(** The simulated Ethernet between the nodes. Private to Soil. *)

type t
(** The type for networks. *)

type quality = {
  latency : int;  (** The least one. *)
  jitter : int;  (** The mean of what is added, exponentially distributed. *)
  bandwidth : int;  (** Bytes per second. Frames that would wait for more than 2 s are lost. *)
  loss : float;  (** The share of frames that are lost. *)
  duplicate : float;  (** The share that arrive twice. *)
  corrupt : float;  (** The share with a wrong bit. *)
  reorder : float;  (** The share that may be overtaken. *)
}
(** The type for the quality of a direction between two nodes. Times are in nanoseconds. *)

val lan : quality
(** [lan] is a network in a building: a latency of 100 µs, 1 Gbit/s, without faults. *)

val create : Generate.t -> quality -> t
(** [create rng quality] has no nodes; all directions have this quality. *)

val mac : int -> string
(** [mac i] is the Ethernet address of node or router [i], 6 bytes. *)

val address : int -> string
(** [address i] is its IP address: 10.0.0.1 for 0. *)

val ip : int -> int
(** [ip i] is the same as a number. *)

val put_behind : t -> router:int -> int -> unit
(** [put_behind t ~router i] moves node [i] to the Ethernet behind [router]. *)

val router : t -> int -> int option
(** [router t i] is the router that node [i] is behind. *)

val set_base : t -> quality -> unit
(** [set_base t quality] is the quality of all directions from now on, besides changes. *)

val set_quality : t -> ?from:int -> ?into:int -> (quality -> quality) -> unit -> unit
(** [set_quality t ~from ~into change] changes the quality of the directions from node [from] (all
    without it) to [into], and is a function that undoes that. *)

val block : t -> reason:string -> (int -> int -> bool) -> unit -> unit
(** [block t ~reason f] loses all frames from [a] to [b] where [f a b], until the function that it
    returns is called. *)

(** The type for what becomes of a frame. *)
type fate =
  | Lost of string  (** The reason. *)
  | Arrives of int * string  (** When, and as what. *)

val carry : t -> now:int -> ?origin:int -> from:int -> nodes:int -> string -> (int * fate list) list
(** [carry t ~now ~origin ~from ~nodes frame] is the fate of a frame that [from] of so many nodes
    and routers sends, for each that it is for. A router passes the node from which it got the frame
    as [origin] (default: [from]): {!block} concerns that node, too. *)

val describe : string -> string
(** [describe frame] is its protocol in a few words. *)
