(** How other threads than the first wait: each blocks by itself. {!Threads} does that, which
    programs with the library [soil.threads] have. Private to Soil. *)

type t = {
  operation : operation:string -> subject:string -> (int -> int) -> int;
      (** [operation submit] is the outcome of the operation that [submit token] starts, or
          {!interrupted}. It fails if that is negative. *)
  wait_ready : int -> int -> int;  (** As {!Scheduler.wait_ready}, or {!interrupted}. *)
  sleep_until : int -> int;
      (** [sleep_until t] is 0 once the monotonic clock shows [t] nanoseconds or more, or
          {!interrupted}. *)
  limit : 'a. int -> (unit -> 'a) -> 'a;
      (** [limit t f] is [f ()], whose waits are {!interrupted} from the moment [t] (nanoseconds)
          on; with {!shielded} for [t], it has no regard to the limits around it. *)
  is_late : unit -> bool;
      (** [is_late ()] is [true] iff a limit of the current thread has passed. *)
}

val interrupted : int
(** [interrupted] is the result of a wait that was given up at a limit; no operation has it. *)

val shielded : int

val registered : t option ref
(** [!registered] is [None] in programs without [soil.threads]. *)

val get : unit -> t
(** [get ()] is what is registered. Raises [Invalid_argument] if nothing is. *)

val missing : unit -> 'a
(** [missing ()] raises [Invalid_argument]: the program hasn't [soil.threads]. *)
