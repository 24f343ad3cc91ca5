(** The content coding [gzip] ({{:https://www.rfc-editor.org/rfc/rfc1952}RFC 1952}) for responses of
    [soil-http], by zlib and its library [camlzip]. {!Soil_http.Encoding} says which responses get
    it. *)

val coding : ?level:int -> unit -> Soil_http.Encoding.coding
(** [coding ()] is [gzip] at [level] (default: 6), from 1, fast, to 9, small. Each write to a stream
    is compressed and sent at once, with a flush of about 5 bytes; {!Soil.Writer} combines small
    ones. Other tasks run after each 64 KiB. A stream uses about 300 KiB while it is sent. Raises
    [Invalid_argument] if [level] is out of range. *)

val compress : ?level:int -> string -> string
(** [compress s] is [s] as a file of gzip. *)

val decompress : max:int -> string -> (string, [ `Malformed | `Too_large ]) result
(** [decompress ~max s] is the contents of [s], one or more files of gzip. It stops, without further
    memory, as soon as these would be more than [max] bytes. Other tasks run after each 64 KiB. *)
