(** Reason phrases. Private to [soil-http]. *)

val phrase : int -> string
(** [phrase n] is the phrase of the status with number [n]. *)

val to_string : Cohttp.Code.status_code -> string
(** [to_string s] is its number and its phrase. *)
