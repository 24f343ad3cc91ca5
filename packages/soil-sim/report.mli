(** The report of a run, for [soil simulate] or a person. Private to Soil. *)

(** The type for how a run ended. *)
type verdict =
  | Passed
  | Failed of { check : string; message : string }
  | Nondeterministic of { check : string; message : string }
      (** A call that the simulation doesn't own. *)
  | Error of string  (** The test itself can't run. *)

type fault = { id : int; name : string; what : string; at : int }
(** The type for faults that happened; [at] is in nanoseconds. *)

type t = {
  seed : int;
  verdict : verdict;
  hash : string;
  virtual_ns : int;
  events : int;
  faults : fault list;
  declared : string list;  (** The names of faults that might have happened. *)
  strikes : (string * int list) list;
      (** When those struck that wait for a message of their node ({!World.strikes}). *)
  operations : World.operations;
  sometimes : (string * int) list;
}
(** The type for reports. *)

val to_json : t -> string
(** [to_json r] is a line, without its end. *)

val to_text : t -> string
(** [to_text r] is for a person. *)

val status : t -> int
(** [status r] is the exit status: 0 passed, 1 failed, 2 for an error. *)
