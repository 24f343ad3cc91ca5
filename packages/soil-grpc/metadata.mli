(** Metadata: named values beside the messages of a call.

    A name consists of lower-case letters, digits, [_], [-] and [.]. A value is printable ASCII
    without spaces at its ends. Values of names that end in [-bin] are any bytes. Names that begin
    with [grpc-], and HTTP's own fields ([content-type], [te], [host], …), are reserved. *)

type t = (string * string) list
(** The type for metadata, in its order. A name may occur several times. *)

val find : t -> string -> string option
(** [find m name] is the first value of [name]. *)

val find_all : t -> string -> string list
(** [find_all m name] is all values of [name]. *)

(** {1:fields As fields of HTTP}

    For tests and proxies. *)

val to_fields : t -> (string * string) list
(** [to_fields m] is [m] with base64 for binary values. Raises [Invalid_argument] if a name or a
    value isn't as above. *)

val of_header : Cohttp.Header.t -> (t, string) result
(** [of_header h] is the metadata in the fields [h], without gRPC's and HTTP's own. *)
