(** A simulated world: its time, its nodes, and what is checked. Tests use {!Soil_sim}. *)

type t
(** The type for worlds. *)

type node
(** The type for nodes. *)

exception Failed of { check : string; message : string; nondeterministic : bool }
(** The run ends: a check has failed, or a node has made a call that the simulation doesn't own. *)

val create : Settings.t -> ends:int -> quality:Network.quality -> t
(** [create settings ~ends ~quality] is a world at time 0, which ends at [ends] nanoseconds. *)

val now : t -> int
(** [now w] is the virtual time in nanoseconds. *)

val ends : t -> int
(** [ends w] is when the run ends. *)

val rng : t -> Generate.t
(** [rng w] is a new stream of random numbers. *)

val network : t -> Network.t
val names : t -> Names.t
val events : t -> Events.t
val settings : t -> Settings.t

val nodes : t -> node list
(** [nodes w] are the nodes in the order in which they were added. *)

val at : t -> int -> (unit -> unit) -> unit
(** [at w time f] calls [f] at a time; the order of several at one time is by the seed. *)

val run : t -> unit
(** [run w] starts the nodes and lets time pass until the end. Raises {!Failed}, and [Failure] if
    there are no nodes. All processes have ended when it returns or raises. *)

val begin_operation : t -> of_client:int -> int
(** [begin_operation w ~of_client] is the number of an operation that a client begins, its
    [of_client]th. *)

val end_operation : t -> has_result:bool -> unit
(** [end_operation w ~has_result] counts the end of an operation. *)

type operations = {
  begun : int;
  returned : int;  (** Those that ended with a result. *)
  most : int;  (** The largest number that a client has begun. *)
  last : int;  (** When the last one began or ended, in nanoseconds. *)
}
(** The type for the operations of all workloads together. *)

val operations : t -> operations
(** [operations w] are the operations so far. *)

(** {1 Nodes} *)

(** The type for what an unexpected end of a node's process means. *)
type at_exit =
  | Fails  (** The run has failed, unless the status is 0. *)
  | Restarts of int  (** It starts again after so many nanoseconds. *)

val add :
  t ->
  name:string ->
  variables:(string * string) list ->
  disks:(string * Disk.image) list ->
  memory:int ->
  at_exit:at_exit ->
  on_note:(string -> unit) ->
  Process.program ->
  node
(** [add w ~name ~variables ~disks ~memory ~at_exit ~on_note program] is a node, which starts when
    the world runs. [on_note] is called with what it sends by [Soil_raw_simulation.simulation_note].
*)

val add_nat : t -> name:string -> idle:int option -> most:int -> node list -> Nat.t
(** [add_nat w ~name ~idle ~most nodes] puts [nodes] behind a router, as {!Nat.create} describes.
    Raises [Failure] if one is behind another. *)

val index : node -> int
val name : node -> string

val lines : node -> (int * string) list
(** [lines n] are the lines of its output with their times, the last one first. *)

val on_line : node -> (string -> unit) -> unit
(** [on_line n f] calls [f] with each line that it writes from now on. *)

val is_up : node -> bool
(** [is_up n] is whether its process runs. *)

val has_ended : node -> bool
(** [has_ended n] is whether its program has ended with status 0, or as it was requested to. *)

val clock : node -> Clock.t
val disks : node -> Disk.t list

val kill : t -> node -> unit
(** [kill w n] ends its process; requests of its disks are carried out. *)

val delayed : t -> string -> unit
(** [delayed w name] counts the strikes of a fault of this name, from 0 on: a fault that has begun,
    and may never strike. *)

val at_message : t -> node -> name:string -> int -> (unit -> unit) -> unit -> unit
(** [at_message w n ~name k f] calls [f], which the trace calls [name], before the [k]th message
    that the node sends from now on takes effect: a frame, a request of a disk, a line of output or
    a wait. The end of the process, or the function that it returns, takes that back. Implies
    {!delayed}. *)

val strikes : t -> (string * int list) list
(** [strikes w] are the names that {!at_message} got, with the times of the calls of its functions
    in nanoseconds, the last one first. *)

val lose_power : torn:bool -> t -> node -> unit
(** [lose_power ~torn w n] ends its process; its disks lose what isn't flushed. *)

val start : t -> node -> unit
(** [start w n] starts its process, unless it runs. *)

val start_again : t -> node -> unit
(** [start_again w n] ends {!stop}: it is {!start}, if need be when the process has ended. *)

val pause : node -> unit
(** [pause n] lets it run no more until {!go_on}. *)

val go_on : t -> node -> unit
(** [go_on w n] ends {!pause}. *)

val drift : t -> node -> int -> unit
(** [drift w n ppm] lets its clocks run by [ppm] parts in a million too fast from now on. *)

val stop : t -> node -> unit
(** [stop w n] requests it to stop, as SIGTERM does. *)

(** {1 Checks} *)

val always : t -> string -> (unit -> bool) -> unit
val sometimes : t -> string -> (unit -> bool) -> unit

val seen : t -> (string * int) list
(** [seen w] are the names of {!sometimes} with the number of turns after which they held. *)

val fail : check:string -> string -> 'a
(** [fail ~check message] ends the run. *)
