(** How other threads than the first wait: each blocks by itself. {!Threads} does that, which
    programs with the library [soil.threads] have. Private to Soil. *)

type t = {
  operation : operation:string -> subject:string -> (int -> int) -> int;
      (** {!Scheduler.operation} *)
  wait_ready : int -> int -> int;  (** {!Scheduler.wait_ready} *)
  sleep_until : int -> unit;  (** {!Scheduler.sleep_until} *)
  timeout : 'a. int -> (unit -> 'a) -> 'a option;
      (** [timeout t f] is [Some (f ())], or [None] if a wait in [f] raised [Cancelled] since it
          wasn't over at the moment [t] (nanoseconds). *)
  protect : 'a. (unit -> 'a) -> 'a;  (** {!Scheduler.protect} *)
}

val registered : t option ref
(** [!registered] is [None] in programs without [soil.threads]. *)

val get : unit -> t
(** [get ()] is what is registered. Raises [Invalid_argument] if nothing is. *)

val missing : unit -> 'a
(** [missing ()] raises [Invalid_argument]: the program hasn't [soil.threads]. *)
