(** Bodies of {{:https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md}gRPC-Web} in base64.
    Private to [soil-grpc]. *)

val source_bytes : int
(** [source_bytes] is about how many bytes {!source} takes. *)

val source : Soil.Flow.source -> Soil.Flow.source
(** [source body] is the bytes of [body], which is base64: any number of parts, each with padding.
    Its reads raise {!Status.Failed} with [Internal] if it is malformed. *)

val encode : string -> string
(** [encode s] is such a part. *)
