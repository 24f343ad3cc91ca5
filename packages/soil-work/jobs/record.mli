(** The stored form of a job. *)

type state = Waiting | Running | Dead | Done

type t = {
  state : state;
  priority : int;
  attempt : int;
  due : float;  (** Of a tombstone, its end. *)
  written : float;  (** The time from which [due] was counted; 0 if it is unknown. *)
  key : string;
  error : string;
  payload : string;
}

val to_string : t -> string
(** [to_string r] is a line of state and numbers, then key, error and payload. Times are rounded to
    microseconds. *)

val of_string : subject:string -> string -> t
(** [of_string ~subject text] is the inverse. Raises {!Soil.exception-Error} with [Corrupt] if
    [text] isn't such a record. *)
