(** Reflection: the services of a server, for [grpcurl] and other tools
    ([grpc.reflection.v1.ServerReflection], and its [v1alpha]). *)

val rpcs : descriptors:string -> Server.rpc list -> Server.rpc list
(** [rpcs ~descriptors rpcs] is [rpcs] and the methods of reflection, which list the services of
    [rpcs] and their own. [descriptors] is a [FileDescriptorSet], as written by
    {v protoc --include_imports --descriptor_set_out=FILE … v}
    {!Soil.Embedded} or a string of the program can have it. Raises [Invalid_argument] if it is
    malformed. *)
