(** Words, decimal numbers, patterns and sequences, documented in {!Reader}. The same rules apply.
*)

val of_string : string -> Input.t
(** [of_string s] is a reader of [s], which never waits. *)

val string : Input.t -> string -> bool
(** [string r s] takes the next bytes if they are [s], and is [true]; otherwise, or if the input is
    shorter, it is [false]. *)

val int : Input.t -> int option
(** [int r] takes the next bytes if they are a decimal number of type [int], as [string_of_int]
    writes it or with zeros before it, and is [Some] of it. It ends before the first byte that isn't
    a digit, or at the end of input. [None]: there is no digit, the number is beyond [int], or it
    has more than 19 digits; nothing is taken. Nothing but the [Some] is allocated:
    {[
      let length r =
        match Soil.Reader.Text.int r with
        | Some n when n >= 0 && Soil.Reader.Text.string r "\r\n" -> n
        | _ -> failwith "not a length"
    ]} *)

val take_while : ?max:int -> Input.t -> (char -> bool) -> string
(** [take_while r f] takes the bytes that satisfy [f], up to the first one that doesn't, or the end
    of input. Raises {!Soil.exception-Error} with [Too_large] as soon as there are more than [max]
    (default: 65536). *)

val peek_string : Input.t -> int -> string
(** [peek_string r n] is the next [n] bytes, which stay in the input. Raises [Invalid_argument] if
    [n < 0]. *)

val skip : Input.t -> int -> unit
(** [skip r n] is {!Reader.take}[ r n] without the result. *)

val skip_while : Input.t -> (char -> bool) -> unit
(** [skip_while r f] skips bytes that satisfy [f], up to the first one that doesn't, or the end of
    input. If it raises, some of them have been skipped. *)

val lines : ?max:int -> Input.t -> string Seq.t
(** [lines r] is the lines up to the end of input, read as the sequence is consumed, once. *)

val seq : Input.t -> (Input.t -> 'a) -> 'a Seq.t
(** [seq r f] is the results of repeated [f r] up to the end of input, likewise. *)
