(** Errors.

    Everything in Soil that fails for a reason outside the program raises the one exception
    {!exception-Error} with a value of type {!t}. The end of input is never an error ([0] bytes
    read, or [End_of_file]), and [Invalid_argument] is for the caller's own mistakes. *)

(** {1:errors Errors} *)

include module type of struct
  include Soil_raw.Error_code
end

type t = {
  code : code;
  operation : string;  (** The operation that failed, such as ["tcp connect"]. *)
  subject : string;  (** Its object, such as ["10.0.0.9:80"]; [""] if there is none. *)
  detail : string;
      (** The reason in one line, without a final point and with the remedy if there is one; [""] if
          the code says it all. *)
}
(** The type for errors. *)

exception Error of t
(** Raised by every function of Soil that says so. It is also [Soil.Error]. *)

(** {1:use Use} *)

val catch : (unit -> 'a) -> ('a, t) result
(** [catch f] is [Ok (f ())], or [Error e] if that raises {!exception-Error}[ e]. Other exceptions,
    cancellation among them, pass. *)

val to_string : t -> string
(** [to_string e] is one line for people: operation, subject and reason, such as
    ["tcp connect 10.0.0.9:80: connection refused"]. *)

val message : code -> string
(** [message code] is a lower-case phrase for [code], such as ["connection refused"]. *)

val fail : ?subject:string -> ?detail:string -> code -> string -> 'a
(** [fail code operation ~subject ~detail] raises {!exception-Error} with these parts. [subject] and
    [detail] are [""] unless given. *)

val printer : exn -> string option
(** [printer] shows {!exception-Error} in the words of {!to_string}. In a program that has
    [Printexc] it is registered there, so that [Printexc.to_string] shows these words; Soil itself
    doesn't link that module, which would add 300 KB to every image. An uncaught exception is shown
    in these words in any case. *)
