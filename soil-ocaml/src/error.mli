(** Errors.

    Functions of Soil that fail for a reason outside of the program raise {!exception-Error} with a
    value of type {!t}. The end of input isn't an error: a read returns [0] bytes, or raises
    [End_of_file]. [Invalid_argument] reports a mistake of the caller. *)

(** {1:errors Errors} *)

include module type of struct
  include Soil_raw.Error_code
end

type t = {
  code : code;
  operation : string;  (** The operation that failed, such as ["tcp connect"]. *)
  subject : string;  (** Its object, such as ["10.0.0.9:80"]; [""] if there is none. *)
  detail : string;
      (** The reason in one line, without a final period and with the remedy if there is one; [""]
          if the code is enough. *)
}
(** The type for errors. *)

exception Error of t
(** Raised by every function of Soil that says so. It is also [Soil.Error]. *)

(** {1:use Use} *)

val catch : (unit -> 'a) -> ('a, t) result
(** [catch f] is [Ok (f ())], or [Error e] if that raises {!exception-Error}[ e]. Other exceptions,
    cancellation among them, pass. *)

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
    [detail] are [""] unless given. *)

val printer : exn -> string option
(** [printer] shows {!exception-Error} as {!to_string} does. A program that links [Printexc] has it
    registered there, for [Printexc.to_string]; Soil itself doesn't link that module, which would
    add 300 KB to every image. An uncaught exception is shown this way in any case. *)
