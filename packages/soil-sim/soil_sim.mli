(** Whole systems in virtual time, with faults by seed.

    A test describes a {!type-world}: nodes, which are programs of their own with a network and
    disks between them, clients that load them, faults, and checks. [soil simulate test.exe] runs it
    for many seeds, and each failure comes back from its seed.

    {[
      let () =
        Soil_sim.main @@ fun world ->
        let db =
          List.init 3 (fun i ->
              Soil_sim.node world ~name:(Printf.sprintf "db%d" i)
                ~disks:[ ("data", Ext4 (Soil_sim.mib 64)) ]
                "./db.exe")
        in
        Soil_sim.every world (Soil_sim.seconds 5.) (Soil_sim.Faults.partition db);
        let history = Soil_sim.workload world (module Kv_workload) ~clients:5 db in
        Soil_sim.finally world (fun () ->
            Soil_sim.check "linearizable" (Linearizable.check (module Register) (history ())))
    ]}

    {b Time.} One node runs at a time, and time passes only when all wait. A node's computation
    takes some microseconds of virtual time, whatever it computes.

    {b Networks.} Node [i], in the order of creation from 0, has the address 10.0.0.[i + 1] on one
    Ethernet, on Soil's own TCP/IP stack. Some may be behind a router with NAT ({!val-nat}).

    {b Programs.} A node's program uses Soil, and has one thread. A call that the simulation doesn't
    own, such as one to read a file of the host, fails the run and is named.

    The test itself is a Linux program on x86-64, without tasks of its own. *)

module History = Soil_sim_checkers.History
module Verdict = Soil_sim_checkers.Verdict

type world
(** The type for worlds. *)

type node = World.node
(** The type for nodes. *)

val main : ?duration:int -> ?calm:int -> ?network:Network.quality -> (world -> unit) -> unit
(** [main describe] runs the world that [describe] describes, for [duration] (default: 60 s) of
    virtual time, reports, and ends the process. In the last [calm] (default: 10 s) of it no fault
    happens and those that last are undone, so that a system has to recover. [network] (default:
    {!Network.lan}) is the quality of all directions. *)

val seconds : float -> int
(** [seconds s] are [s] seconds in nanoseconds. *)

val mib : int -> int
(** [mib n] are [n] MiB in bytes. *)

(** {1 Nodes} *)

(** The type for the contents of a disk at the start. *)
type image = Disk.image =
  | Blank of int  (** Zeros; bytes. *)
  | File of string  (** The contents of a file, which isn't changed. *)
  | Ext4 of int  (** A new file system; bytes. Needs [mkfs.ext4] (package e2fsprogs). *)
  | Fat of int  (** The same, by [mkfs.fat] (package dosfstools). *)

(** The type for what an unexpected end of a node's process means. *)
type at_exit = World.at_exit =
  | Fails  (** The run has failed, unless the status is 0. *)
  | Restarts of int  (** It starts again after so many nanoseconds. *)

val node :
  world ->
  name:string ->
  ?arguments:string list ->
  ?env:(string * string) list ->
  ?files:string list ->
  ?disks:(string * image) list ->
  ?memory:int ->
  ?at_exit:at_exit ->
  ?unmodified:bool ->
  string ->
  node
(** [node world ~name program] is a node that runs the executable [program], a process form that
    dune has built, with [arguments], and with [env] besides the variables of its network. It may
    read [files] of the host. Its disks have these names. It has [memory] bytes (default: 256 MiB).

    An [unmodified] program (default: [false]) is any other executable with one thread that is
    linked dynamically: its sockets, clocks and waits are simulated, by a library that is preloaded.
    The names of nodes resolve in it. *)

val task :
  world ->
  name:string ->
  ?disks:(string * image) list ->
  ?memory:int ->
  ?at_exit:at_exit ->
  (unit -> unit) ->
  node
(** [task world ~name f] is a node that runs [Soil.run f], in a process of its own. *)

val address : node -> string
(** [address n] is its IP address. *)

type nat = Faults.nat
(** The type for routers with network address and port translation. *)

val nat : world -> name:string -> ?idle:int -> ?most:int -> node list -> nat
(** [nat world ~name nodes] puts [nodes] behind a router, which takes the next address as a node
    does. They reach the nodes outside, which see the router's address and a port of its own. From
    outside only answers reach them; the router loses other frames, with the reason [nat] in the
    trace.

    A mapping, of a port inside and a peer, ends when no frame has passed for [idle] nanoseconds
    (default: 2 h 4 min for TCP, 5 min for UDP, 1 min for ICMP). There are at most [most] (1 to
    32,000, default: 1000): then a new one ends the least recently used one. *)

val nat_address : nat -> string
(** [nat_address nat] is the IP address that nodes outside see. *)

val lines : node -> (int * string) list
(** [lines n] are the lines that it has written so far to its standard and error output, the last
    one first, with their times in nanoseconds. *)

val on_line : node -> (string -> unit) -> unit
(** [on_line n f] calls [f] with each line that it writes. {!fail} in [f] fails the run. *)

val is_up : node -> bool
(** [is_up n] is whether its process runs. *)

val now : world -> int
(** [now world] is the virtual time in nanoseconds. *)

(** {1 Faults} *)

module Generate = Generate
module Faults = Faults

module World = World
(** For faults of the test's own ({!Faults.make}). *)

val every : world -> ?lasting:int -> int -> Faults.t -> unit
(** [every world ~lasting period fault] makes [fault] happen at random times, on average after
    [period] nanoseconds, for on average [lasting] (default: half of [period]). *)

val rng : world -> Generate.t
(** [rng world] is a new stream of random numbers, by the seed: a test whose settings and faults
    differ from seed to seed finds more than one with the same for all. *)

val at : world -> int -> (unit -> unit) -> unit
(** [at world time f] calls [f] at a time. *)

module Network = Network

val set_network : world -> Network.quality -> unit
(** [set_network world quality] replaces the quality that {!main} got; faults change it as before.
*)

(** {1 Loads} *)

module Workload = Workload

val workload :
  world ->
  (module Workload.S with type operation = 'o and type result = 'r) ->
  ?clients:int ->
  ?operations:int ->
  node list ->
  unit ->
  ('o, 'r) History.t
(** [workload world (module W) servers] adds [clients] (default: 3) nodes, which perform operations
    one after another until the middle of the calm part, so that some follow the last fault. With
    [operations] each ends after so many instead: faults that strike later test nothing, and
    [soil simulate] fails if all do. The function that it returns is the history so far. The run
    fails if no operation returns a result, unless [SOIL_SIM_UNTIL] or [SOIL_SIM_OPERATIONS] cut it
    short. *)

(** {1 Checks} *)

val always : world -> string -> (unit -> bool) -> unit
(** [always world name f] fails the run if [f ()] is [false] after an event. *)

val sometimes : world -> string -> (unit -> bool) -> unit
(** [sometimes world name f] counts the events after which [f ()] is [true]. [soil simulate] fails
    if that never happens in many seeds: the test doesn't exercise what it should. *)

val finally : world -> (unit -> unit) -> unit
(** [finally world f] calls [f] at the end of the run. *)

val fail : string -> string -> 'a
(** [fail name message] fails the run. Failures of one name and first line are one to
    [soil simulate]. An exception that a check raises, such as of Alcotest, does so, too. *)

val check : string -> Verdict.t -> unit
(** [check name verdict] is {!fail} unless the verdict is [Valid]. *)

(** {2 Checkers} *)

module Linearizable = Soil_sim_checkers.Linearizable
module Models = Soil_sim_checkers.Models
module Sequential = Soil_sim_checkers.Sequential
module Causal = Soil_sim_checkers.Causal
module Monotonic = Soil_sim_checkers.Monotonic
module Bank = Soil_sim_checkers.Bank
module Sets = Soil_sim_checkers.Sets
module Queues = Soil_sim_checkers.Queues
module Appends = Soil_sim_checkers.Appends
