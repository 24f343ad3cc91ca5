(** The machine. Nothing here waits, unless stated. *)

type memory = {
  total : int;  (** Of the machine, or the limit of the process. *)
  in_use : int;  (** By the program, the kernel's tables and buffers. *)
  free : int;
  high_water : int;  (** The largest [in_use] so far. *)
}
(** The type for the use of memory, in bytes. *)

val memory : unit -> memory
(** [memory ()] is the use of memory now. In the process form [in_use] is the resident set. *)

type scheduler = {
  tasks : int;  (** Tasks that haven't ended. *)
  ready : int;  (** Of these, tasks that could run now. *)
  operations : int;  (** Operations of devices, network and files that tasks wait for. *)
  started : int;  (** Tasks that were started so far. *)
  turns : int;  (** Times that a task ran until it waited. *)
}
(** The type for statistics of tasks. *)

val scheduler : unit -> scheduler
(** [scheduler ()] is the present numbers, and the counts so far. *)

val cpus : unit -> int
(** [cpus ()] is the number of processors. *)

val devices : unit -> string list
(** [devices ()] is a line of readable text for each detected device. *)

val counter : string -> int option
(** [counter name] is one of the machine's counters: ["memory"] (bytes in use by the machine's own
    heap), ["descriptors"], ["connections"], ["frames_in"], ["frames_out"], ["drops"],
    ["block_requests"]…; [None] if there is none of that name. *)

val power_off : unit -> 'a
(** [power_off ()] is [exit 0]: runs [at_exit], syncs disks, and turns the machine off (ends the
    process). *)

val reboot : unit -> 'a
(** [reboot ()] runs [at_exit], syncs disks and resets the machine. Raises {!Soil.exception-Error}
    with [Unsupported] in the process form. *)
