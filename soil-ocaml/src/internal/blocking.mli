(** Waiting in threads other than the first: each blocks by itself. Implemented by {!Threads}, in
    programs with the library [soil.threads]. Private to Soil. *)

type t = {
  operation : operation:string -> subject:string -> (int -> int) -> int;
      (** {!Scheduler.operation} *)
  wait_ready : int -> int -> int;  (** {!Scheduler.wait_ready} *)
  sleep_until : int -> unit;  (** {!Scheduler.sleep_until} *)
  timeout : 'a. int -> (unit -> 'a) -> 'a option;
      (** [timeout t f] is [Some (f ())], or [None] if a wait in [f] raised [Cancelled] at the time
          [t] (nanoseconds). *)
  protect : 'a. (unit -> 'a) -> 'a;  (** {!Scheduler.protect} *)
}

val registered : t option ref
(** [!registered] is [None] in programs without [soil.threads]. *)

val get : unit -> t
(** [get ()] is the registered value. Raises [Invalid_argument] if there is none. *)

val missing : unit -> 'a
(** [missing ()] raises [Invalid_argument]: the program doesn't have [soil.threads]. *)
