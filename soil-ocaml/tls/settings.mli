(** Certificates, trust and configurations, identified by Rust's numbers. *)

val check : string -> string -> int -> int
(** [check operation subject r] is [r], or raises the error of a negative [r]. *)

val error : string -> string -> int -> exn
(** [error operation subject r] is the error for the negative result [r] of the last call. *)

type roots

val roots : (int -> unit) -> roots
(** [roots add] is roots that [add n] adds to the options with number [n]. *)

val pems : string list -> roots

type certificates
type version = Tls_1_2 | Tls_1_3
type config = { number : int; key_log : (string -> unit) option }

val certificates : (string * string) list -> certificates
val replace : certificates -> (string * string) list -> unit
val pem : string -> roots

val client :
  ?versions:version list ->
  ?protocols:string list ->
  ?certificates:certificates ->
  ?revoked:string list ->
  ?sessions:int ->
  ?key_log:(string -> unit) ->
  roots list ->
  config

val server :
  ?versions:version list ->
  ?protocols:string list ->
  ?clients:[ `Required of roots list | `Optional of roots list ] ->
  ?revoked:string list ->
  ?sessions:int ->
  ?key_log:(string -> unit) ->
  certificates ->
  config

val log_keys : config -> unit
(** [log_keys c] passes the keys since the last call to [key_log]. *)
