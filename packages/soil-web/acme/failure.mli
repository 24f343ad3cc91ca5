(** Failures of an exchange with a CA. *)

type t = {
  operation : string;  (** Such as ["newOrder"]. *)
  subject : string;  (** A URL, or a name of the certificate. *)
  problem : Problem.t option;  (** What the CA said. *)
  detail : string;  (** The reason otherwise, with a remedy, or [""]. *)
  retry_after : float option;  (** Seconds for which the CA wants no request. *)
}
(** The type for failures. *)

exception Failed of t
(** Raised where an order can't be completed. *)

val to_string : t -> string
(** [to_string f] is one line: operation, subject and reason. *)

val fail : ?problem:Problem.t -> ?retry_after:float -> ?detail:string -> string -> string -> 'a
(** [fail operation subject] raises {!Failed}. *)

val describe : exn -> string
(** [describe e] is one line for {!Failed}, and what else a request raises. *)
