(** Lists by key to which operations append elements, with reads of the whole list: as Elle's
    list-append workload (Kingsbury and Alvaro 2020), for single operations. *)

type operation =
  | Append of { key : string; element : string }
      (** Each element of a key is appended by one operation. *)
  | Read of string

type result = Appended | List of string list  (** of [Read], the oldest element first *)

val check : ?real_time:bool -> (operation, result) History.t -> Verdict.t
(** [check history] is [Invalid] if for a key

    - a read contains an element twice, or one that no operation appended, or one whose operation
      failed or was invoked after the read returned;
    - of two reads, neither is a prefix of the other;
    - the last read lacks an element whose append returned before the read was invoked;

    and with [real_time] (default [true]), which linearizable lists have, if

    - any read lacks an element whose append returned, or that another read contained, before the
      read was invoked;
    - an element comes before another one whose append returned before the element's was invoked.

    Raises [Invalid_argument] if two operations that didn't fail append one element to a key. *)
