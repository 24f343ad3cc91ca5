(** The messages between the coordinator and a node (platform/sim/src/protocol.rs). Private to Soil.
*)

(** The type for operations of disks. *)
type operation = Read | Write | Flush | Discard | Zero | Write_durably

(** The type for messages of a node. *)
type message =
  | Attached of int  (** The version that it speaks. *)
  | Wait of { now : int; until : int }
      (** Its monotonic time, and until when it waits; [max_int] for ever. *)
  | Frame of string
  | Disk of {
      disk : int;
      operation : operation;
      number : int;
      sector : int;
      count : int;
      data : string;  (** Of a write. *)
    }
  | Console of int * string  (** The stream: 1 or 2. *)
  | Unowned of string  (** A call that the simulation doesn't own. *)
  | Note of string
  | Exit of int
  | Closed  (** The process has ended. *)

(** The type for events that a node is resumed with. *)
type event =
  | Arrived of string  (** A frame. *)
  | Completed of { disk : int; number : int; status : int; data : string }

type t
(** The type for the coordinator's end of a connection to a node. *)

exception Garbage of string
(** A node has sent what is no message. *)

val version : int
(** [version] is the version of the messages. *)

val create : Unix.file_descr -> t
(** [create fd] is the end [fd] of a connection. *)

val receive : t -> message
(** [receive t] is the next message. Blocks. Raises {!Garbage}. *)

type disk = { name : string; sectors : int; sector_size : int; read_only : bool }
(** The type for descriptions of disks. *)

val start :
  t -> seed:string -> monotonic:int -> wall:int -> memory:int -> mac:string -> disk list -> unit
(** [start t ~seed ~monotonic ~wall ~memory ~mac disks] is the first message: a seed of 32 bytes,
    times in nanoseconds, bytes of memory, 6 bytes of the Ethernet address. *)

val resume : t -> monotonic:int -> wall:int -> stops:int -> event list -> unit
(** [resume t ~monotonic ~wall ~stops events] answers {!Wait}. *)

val close : t -> unit
(** [close t] closes the connection. *)
