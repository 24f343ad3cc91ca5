(** The result of a check. *)

type t =
  | Valid  (** The history has a permitted explanation. *)
  | Invalid of string
      (** It has none. The text names the operations that contradict each other, in a few lines. *)
  | Undecided of string
      (** The check ended without an answer: its budget of steps ran out, or the history lacks the
          observations that it takes. The text names the reason and a remedy. *)

val all : t list -> t
(** [all verdicts] is the first [Invalid] verdict, or else the first [Undecided] one, or else
    [Valid]. *)

val to_string : t -> string
(** [to_string verdict] is ["valid"], or ["invalid: "] or ["undecided: "] with the text. *)
