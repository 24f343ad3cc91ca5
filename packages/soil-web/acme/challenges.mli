(** Challenges that a CA validates now, in a store that machines share. *)

type t

val create : Store.t -> tag:string -> t

val publish_http : t -> token:string -> authorization:string -> unit -> unit
(** [publish_http t ~token ~authorization] answers this token; the result ends that. Waits. *)

val publish_tls : t -> Certificate.name -> authorization:string -> unit -> unit

val http :
  t ->
  (Soil_http.Server.request -> Soil_http.Server.response) ->
  Soil_http.Server.request ->
  Soil_http.Server.response

val tls :
  t ->
  Soil_tls.server_config ->
  [> `Read | `Write | `Shutdown ] Soil.File_descriptor.t ->
  Soil_tls.t
