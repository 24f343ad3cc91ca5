(** How calls end. *)

(** The type for {{:https://grpc.io/docs/guides/status-codes/}status codes}, with their numbers. *)
type code =
  | OK  (** 0 *)
  | Cancelled  (** 1: by the caller. *)
  | Unknown  (** 2: an exception of the server, or no status. *)
  | Invalid_argument  (** 3 *)
  | Deadline_exceeded  (** 4 *)
  | Not_found  (** 5 *)
  | Already_exists  (** 6 *)
  | Permission_denied  (** 7 *)
  | Resource_exhausted  (** 8: also a message or metadata above a limit. *)
  | Failed_precondition  (** 9 *)
  | Aborted  (** 10 *)
  | Out_of_range  (** 11 *)
  | Unimplemented  (** 12 *)
  | Internal  (** 13: also a violation of the protocol. *)
  | Unavailable  (** 14: also a connection that failed. The call may be repeated. *)
  | Data_loss  (** 15 *)
  | Unauthenticated  (** 16 *)

type t = {
  code : code;
  message : string;  (** For developers, in UTF-8. *)
  details : (string * string) list;
      (** Messages as type URLs and bytes, [google.protobuf.Any]: such as
          ["type.googleapis.com/google.rpc.RetryInfo"]. *)
}
(** The type for statuses. *)

val v : ?details:(string * string) list -> code -> string -> t
(** [v code message] is a status. *)

val ok : t

exception Failed of t
(** A handler raises it to end its call; a client's call raises it for each other status than {!OK}.
*)

val fail : ?details:(string * string) list -> code -> string -> 'a
(** [fail code message] raises {!Failed}. *)

val number : code -> int

val of_number : int -> code
(** [of_number n] is the code [n], {!Unknown} if there is none. *)

val name : code -> string
(** [name c] is as in the specification: ["DEADLINE_EXCEEDED"]. *)

val to_string : t -> string
(** [to_string s] is one line: ["NOT_FOUND: no such book"]. *)
