(** Accounts: names, passwords, and the generation of their sessions. *)

type t = private {
  id : int;
  name : string;
  generation : int;  (** A session is valid as long as its account has the same one. *)
}
(** The type for accounts. *)

(** {1:credentials Credentials} *)

type credentials
(** The type for names and passwords of a valid form. *)

val credentials : name:string -> password:string -> (credentials, string) result
(** [credentials ~name ~password] has a name of 1 to 40 letters, digits, [-], [_] and [.], and a
    password of 8 to 200 bytes. The error says what is wrong. *)

val register : Database.t -> credentials -> (t, [ `Name_taken ]) result
(** [register db c] is a new account. Waits, some 50 ms of a processor for the hash. Raises as
    {!Database.query}. *)

val log_in : Database.t -> credentials -> t option
(** [log_in db c] is the account of [c]; [None] after the same time for an unknown name and for a
    wrong password. Waits and raises as {!register}. *)

(** {1:sessions Sessions} *)

val session : t -> string
(** [session a] is what a session keeps of [a]. *)

val of_session : Database.t -> string -> t option
(** [of_session db s] is the account of the session [s], unless it has logged out since. Waits.
    Raises as {!Database.query}. *)

val log_out : Database.t -> t -> unit
(** [log_out db a] ends all sessions of [a]: a signed cookie alone can't be taken back. Waits.
    Raises as {!Database.query}. *)
