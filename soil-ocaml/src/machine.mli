(** The machine. Nothing here waits, unless stated. *)

type memory = {
  total : int;  (** The machine's memory, or the limit of the process. *)
  in_use : int;  (** Memory of the program, kernel tables and buffers. *)
  free : int;
      (** Memory that isn't in use, and that an image has promised to nothing: no mapping of the
          program, and no connection. In the process form what Linux can still give the process, of
          its control groups and of the machine. *)
  high_water : int;  (** The largest [in_use] so far. *)
}
(** The type for the use of memory, in bytes. *)

val memory : unit -> memory
(** [memory ()] is the current memory use. In the process form [in_use] is the resident set size. *)

type scheduler = {
  tasks : int;  (** Tasks that haven't ended. *)
  ready : int;  (** Tasks that are ready to run. *)
  operations : int;  (** Pending operations of devices, network and files. *)
  started : int;  (** Tasks started so far. *)
  turns : int;  (** Times a task ran until its next wait. *)
}
(** The type for scheduler statistics. *)

val scheduler : unit -> scheduler
(** [scheduler ()] is the current statistics of the current domain's scheduler. *)

val schedulers : unit -> (int * scheduler) list
(** [schedulers ()] are the statistics of all domains that have or had tasks ({!Domain}), by the
    index of OCaml's domain: 0 is the first. *)

val cpus : unit -> int
(** [cpus ()] is the number of processors that the program may use. An image without [Domain.spawn]
    uses one, whatever the machine has. *)

val devices : unit -> string list
(** [devices ()] is a line of readable text for each detected device. *)

val counter : string -> int option
(** [counter name] is one of the machine's counters: ["memory"] (bytes in use by the machine's own
    heap), ["descriptors"], ["connections"], ["frames_in"], ["frames_out"], ["drops"],
    ["block_requests"], ["lock_waits"] (calls of threads that waited for the end of another's),
    ["lock_wait_max"] (the longest such wait, in nanoseconds)…; [None] if there is none of that
    name. *)

type failure = {
  status : int;  (** Its exit status: 2 after an exception, 134 after a crash. *)
  count : int;
      (** Failures in a row, at most 255. One that comes after ten minutes is the first again. *)
  time : float option;  (** When, in seconds since 1970, if the machine knew the time. *)
  report : string;
      (** The last lines on standard error, at most 4 KB: the exception or the crash report. Empty
          if the machine's memory didn't survive the restart. *)
}
(** The type for failures of the program. *)

val last_failure : unit -> failure option
(** [last_failure ()] is the failure after which the machine has started again
    ([SOIL_ON_FAILURE=reboot]). [None] if the program's last run didn't fail, where the machine
    keeps nothing over a restart, and in the process form. *)

val power_off : unit -> 'a
(** [power_off ()] is [exit 0]: runs [at_exit], syncs disks, and turns the machine off (ends the
    process). *)

val reboot : unit -> 'a
(** [reboot ()] runs [at_exit], syncs disks and resets the machine. Raises {!Soil.exception-Error}
    with [Unsupported] in the process form. *)
