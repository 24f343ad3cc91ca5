(** How values of a type become messages.

    gRPC transports strings: any serialization will do, and so will any generator of code from
    [.proto] files. [docs/grpc.md] has the few lines that make codecs of what [ocaml-protoc] and
    [ocaml-protoc-plugin] generate. {!Wire} is for messages that need no generator. *)

type 'a t = {
  encode : 'a -> string;
  decode : string -> ('a, string) result;  (** The error is for the other side. *)
}
(** The type for codecs of ['a]s. Exceptions of both functions are handled like exceptions of
    handlers. *)

val bytes : string t
(** [bytes] is for messages as they are. *)

val empty : unit t
(** [empty] is for [google.protobuf.Empty]. Ignores all fields. *)
