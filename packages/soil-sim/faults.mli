(** Faults of networks, disks, clocks and processes, for {!Soil_sim.every}.

    Each lasts for a time that the seed chooses, and is then undone: a partition heals, a killed
    process starts again. *)

type node = World.node
type nat = Nat.t

type t
(** The type for faults. *)

val name : t -> string
(** [name f] is its name in reports. *)

val inject : t -> World.t -> Generate.t -> (string * (unit -> unit)) option
(** [inject f world rng] makes it happen: what it is in words, and a function that undoes it.
    [None]: it can't happen now. *)

val make : name:string -> (World.t -> Generate.t -> (string * (unit -> unit)) option) -> t
(** [make ~name inject] is a fault of the test's own. *)

(** {1 Networks} *)

val partition : node list -> t
(** [partition nodes] divides them into two parts that can't reach each other. *)

val isolate : node list -> t
(** [isolate nodes] cuts one of them off from all nodes, clients too. *)

val one_way : node list -> t
(** [one_way nodes] loses all frames from one of them to another. *)

val slow_link : ?factor:int -> node list -> t
(** [slow_link nodes] makes all frames to and from one of them take [factor] (default: 50) times as
    long. *)

val lossy : ?share:float -> node list -> t
(** [lossy nodes] loses a share (default: 0.2) of the frames to and from one of them. *)

val unordered : ?share:float -> node list -> t
(** [unordered nodes] lets a share (default: 0.2) of the frames to and from one of them be
    overtaken, and duplicates half as many. *)

val corrupt : ?share:float -> node list -> t
(** [corrupt nodes] changes a bit in a share (default: 0.05) of the frames to and from one of them.
    Checksums find most of them: one in 65,536 may arrive, as in a real network without TLS. *)

val slow_reader : ?bandwidth:int -> node list -> t
(** [slow_reader nodes] lets one of them receive [bandwidth] (default: 2,000) bytes a second. *)

val nat_forgets : nat list -> t
(** [nat_forgets nats] restarts one of these routers: all its mappings are gone. A connection that
    went on through it gets another port, which its peer refuses. *)

(** {1 Names} *)

val late_names : ?seconds:float -> unit -> t
(** [late_names ()] makes the name server answer [seconds] (default: 4) later. *)

val silent_names : unit -> t
(** [silent_names ()] lets it answer no more. *)

val wrong_names : node list -> t
(** [wrong_names nodes] makes it give another of [nodes]' address for the name of one. *)

(** {1 Processes} *)

val kill : node list -> t
(** [kill nodes] ends one process as SIGKILL does, and starts it again. *)

val kill_during : node list -> t
(** [kill_during nodes] does so in the middle of a turn: after a frame, before a write. *)

val power_cut : ?torn:bool -> node list -> t
(** [power_cut nodes] ends one process in the middle of a turn, and its disks keep any subset of the
    sectors that weren't flushed; with [torn] (default: [false]) also parts of sectors. *)

val power_cut_of_all : ?torn:bool -> node list -> t
(** [power_cut_of_all nodes] does so to all of them at once, in the middle of a turn of one. *)

val pause : node list -> t
(** [pause nodes] lets one process run no more for a while, as SIGSTOP does, or a long collection of
    garbage. *)

val stop : node list -> t
(** [stop nodes] requests one to stop, as SIGTERM does, and starts it again. *)

(** {1 Clocks} *)

val clock_step : ?most:float -> node list -> t
(** [clock_step nodes] moves the wall clock of one by up to [most] (default: 60) seconds, forwards
    or backwards. *)

val clock_drift : ?most:int -> node list -> t
(** [clock_drift nodes] lets both clocks of one run faster or slower by up to [most] (default:
    50,000) millionths. *)

val leap_second : node list -> t
(** [leap_second nodes] repeats a second of all wall clocks. *)

(** {1 Disks} *)

val slow_disk : ?factor:int -> node list -> t
(** [slow_disk nodes] makes the requests of one's disks take [factor] (default: 100) times as long.
*)

val disk_errors : ?share:float -> node list -> t
(** [disk_errors nodes] fails a share (default: 0.05) of the requests of one's disks. *)

val full_disk : node list -> t
(** [full_disk nodes] fails all writes to one's disks for lack of room. *)

val bit_rot : node list -> t
(** [bit_rot nodes] changes a bit of a sector that one has written. *)
