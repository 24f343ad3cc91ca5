(** gRPC for the back office: the service of store.proto, for callers with a token. *)

val rpcs : token:string -> Database.t -> Soil_grpc.Server.rpc list
(** [rpcs ~token db] is the methods. A call needs the metadata [authorization] with [Bearer token];
    others end with [UNAUTHENTICATED]. *)
