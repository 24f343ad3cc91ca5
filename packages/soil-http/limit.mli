(** Limits of rates: a token bucket for each client.

    {[
      let limit = Soil_http.Limit.create ~rate:5. ~burst:20 ()
      let () = Server.serve listener (Soil_http.Limit.handler limit answer)
    ]}

    A bucket holds [burst] tokens, gets [rate] per second, and a request takes one.

    {b Memory.} A table holds the buckets that aren't full, at most [capacity] of them; a full one
    is like one that was never used. If a further key comes to a full table, it takes the place of
    the fullest bucket and begins with its tokens. So no client gets more than its bucket allows,
    however many keys it uses meanwhile: to displace a bucket it must empty all others as far, and
    gains nothing. What it can do is to let newcomers begin with less, for as long as it takes
    [capacity * rate] tokens per second.

    A value belongs to one domain. Functions don't wait. *)

type t
(** The type for tables of buckets. *)

val create : ?capacity:int -> ?now:(unit -> float) -> rate:float -> burst:int -> unit -> t
(** [create ~rate ~burst ()] is an empty table for [capacity] buckets (default: 16384, about 3 MB;
    memory is allocated as needed). [now] is the time in seconds, which must not go back (default:
    {!Soil.Clock.monotonic}). Raises [Invalid_argument] unless [rate] is between [1e-6] and [1e9],
    [capacity] and [burst] are at least 1, and a bucket fills within 100 years. *)

val take : ?cost:int -> t -> string -> (unit, float) result
(** [take t key] takes [cost] tokens (default: 1) from the bucket of [key], or is [Error seconds]
    and takes none: there are enough in [seconds] if no other call takes any before. A key of more
    than 32 bytes is represented by its digest. Raises [Invalid_argument] if [cost] is less than 1
    or more than [burst]. *)

val length : t -> int
(** [length t] is the number of buckets in the table. *)

val key_of_address : Soil.Net.Address.t -> string
(** [key_of_address a] is a key for [a]: the address for IPv4, and its first 64 bits for IPv6, since
    a host can choose the others. *)

val handler :
  ?key:(Server.request -> string option) ->
  t ->
  (Server.request -> Server.response) ->
  Server.request ->
  Server.response
(** [handler t f] is [f] for requests whose {!take} succeeds. It responds to others with 429 and
    [Retry-After] in seconds ({{:https://www.rfc-editor.org/rfc/rfc6585#section-4}RFC 6585 §4}).
    [key] is a request's bucket, [None] if it has no limit (default: {!key_of_address} of
    {!Server.endpoint}). Behind proxies:
    [~key:(fun r -> Option.map key_of_address (Forwarded.address proxies r))]. *)
