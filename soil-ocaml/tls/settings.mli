(** Certificates, trust and configurations, by the numbers that Rust gives them. *)

val check : string -> string -> int -> int
(** [check operation subject r] is [r], or raises the error that a negative [r] stands for. *)

val error : string -> string -> int -> exn
(** [error operation subject r] is the error for the negative result [r] of the last call. *)

val fail : string -> string -> int -> 'a
(** [fail operation subject r] raises that error. *)

type roots

val roots : (int -> unit) -> roots
(** [roots add] is roots that [add] adds to the options of a number. *)

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
(** [log_keys c] gives the keys since the last call to the function that asked for them. *)
