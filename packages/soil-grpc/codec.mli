(** How values of a type become messages.

    gRPC transports strings: any serialization will do, and so will any generator of code from
    [.proto] files. [docs/grpc.md] has a few lines that make codecs of the code that
    [ocaml-protoc-plugin] generates. {!Wire} is for messages that need no generator. *)

type 'a t = {
  encode : 'a -> string;
  decode : string -> ('a, string) result;  (** The error is for the other side. *)
}
(** The type for codecs of ['a]s. An exception of [decode] is an error without a reason; one of
    [encode] is handled like an exception of a handler. *)

val bytes : string t
(** [bytes] is for messages as they are. *)

val empty : unit t
(** [empty] is for [google.protobuf.Empty]. Ignores all fields. *)
