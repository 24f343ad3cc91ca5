(** Status codes and methods as text. Private to [soil.http].

    The numbers are those of {!Cohttp.Code} (checked by a test). That module would add 38 KB to
    every server, mostly conversions to S-expressions. *)

val code : Cohttp.Code.status_code -> int
(** [code s] is the number of [s]. *)

val of_code : int -> Cohttp.Code.status_code
(** [of_code n] is the status with number [n]. *)

val phrase : int -> string
(** [phrase n] is the phrase of the status with number [n]. *)

val to_string : Cohttp.Code.status_code -> string
(** [to_string s] is its number and its phrase. *)

val meth : string -> Cohttp.Code.meth
(** [meth s] is the method with the name [s]. *)

val meth_to_string : Cohttp.Code.meth -> string
(** [meth_to_string m] is the name of [m]. *)

val version_to_string : Cohttp.Code.version -> string
(** [version_to_string v] is the name of the protocol's version [v]. *)
