(** Errors.

    Soil's functions that fail for a reason outside the program raise {!exception-Error} with a
    value of type {!t}. The end of input isn't an error: a read returns [0] bytes, or raises
    [End_of_file]. [Invalid_argument] reports a programming error. *)

(** {1:errors Errors} *)

include module type of struct
  include Soil_raw.Error_code
end

type t = {
  code : code;
  operation : string;  (** The operation that failed, such as ["tcp connect"]. *)
  subject : string;  (** Its object, such as ["10.0.0.9:80"]; [""] if there is none. *)
  detail : string;
      (** The reason in one line, without a final period and with the remedy, if any; [""] if the
          code is sufficient. *)
}
(** The type for errors. *)

exception Error of t
(** Raised by Soil's functions as documented. It is also [Soil.Error]. *)

(** {1:use Use} *)

val catch : (unit -> 'a) -> ('a, t) result
(** [catch f] is [Ok (f ())], or [Error e] if that raises {!exception-Error}[ e]. Other exceptions,
    including cancellation, propagate. *)

val to_string : t -> string
(** [to_string e] is one line of readable text: operation, subject and reason, such as
    ["tcp connect 10.0.0.9:80: connection refused"]. *)

val pp : Format.formatter -> t -> unit
(** [pp f e] prints [to_string e]. *)

external equal : t -> t -> bool = "caml_equal"
external compare : t -> t -> int = "caml_compare"
val hash : t -> int

val message : code -> string
(** [message code] is a lower-case phrase for [code], such as ["connection refused"]. *)

val fail : ?subject:string -> ?detail:string -> code -> string -> 'a
(** [fail code operation ~subject ~detail] raises {!exception-Error} with these parts. [subject] and
    [detail] default to [""]. *)

val printer : exn -> string option
(** [printer] shows {!exception-Error} as {!to_string} does. In a program that links [Printexc] it
    is registered there, for [Printexc.to_string]; Soil itself doesn't link that module, which would
    add 300 KB to every image. An uncaught exception is shown this way in any case. *)
