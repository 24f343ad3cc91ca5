(** Compression of messages.

    {[
      let gzip =
        Encoding.v "gzip" ~compress:Soil_http_gzip.compress ~decompress:Soil_http_gzip.decompress
    ]}

    That is all that [soil-http.gzip] takes: programs without it don't link zlib.

    {b Secrets.} The length of a compressed message depends on its contents. If a message has a
    secret beside text that others can choose, they can find the secret by many calls: don't
    compress it. *)

type t
(** The type for encodings. *)

val v :
  string ->
  compress:(string -> string) ->
  decompress:(max:int -> string -> (string, [ `Malformed | `Too_large ]) result) ->
  t
(** [v name ~compress ~decompress] is the encoding [name], as in the field [grpc-encoding].
    [decompress ~max s] must not make more than [max] bytes of [s]. Both count what they make for as
    long as they run ({!Soil.Budget.scratch}): other tasks may run meanwhile. Raises
    [Invalid_argument] if [name] is empty, ["identity"], or has other characters than lower-case
    letters, digits and [-]. *)

val name : t -> string
val compress : t -> string -> string
val decompress : t -> max:int -> string -> (string, [ `Malformed | `Too_large ]) result

val find : t list -> string -> t option
(** [find l name] is the one of [l] with this name. *)

val preferred : t list -> string option -> t option
(** [preferred l accepted] is the first one of [l] in the value [accepted] of the field
    [grpc-accept-encoding]. *)
