(** The settings of a run, which [soil simulate] passes in the environment. Private to Soil. *)

type t = {
  seed : int;  (** [SOIL_SIM_SEED]. *)
  faults : int list option;  (** [SOIL_SIM_FAULTS]: only these happen. *)
  operations : int option;  (** [SOIL_SIM_OPERATIONS]: of each client. *)
  until : int option;  (** [SOIL_SIM_UNTIL]: the end of the run, virtual nanoseconds. *)
  trace : string option;  (** [SOIL_SIM_TRACE]: a file. *)
  debugger : (string * int) option;  (** [SOIL_SIM_GDB]: a node and a time. *)
  report : int option;  (** [SOIL_SIM_REPORT]: a descriptor. *)
}

val read : unit -> t
(** [read ()] are the settings of this process. The seed is 1 without the variable. Raises [Failure]
    with the name of a variable whose value is wrong. *)
