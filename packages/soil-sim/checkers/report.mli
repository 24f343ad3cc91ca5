(** Lists in messages. *)

val lines : ?max:int -> ('a -> string) -> 'a list -> string
(** [lines text items] is a line for each of the first [max] (default 6) items, each after the end
    of a line and two spaces, and the number of the others. *)

val names : string list -> string
(** [names items] is one line: the first 8 items, and the number of the others. *)
