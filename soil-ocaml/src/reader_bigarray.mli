(** Reading into bigarrays, documented in {!Reader}. The same rules apply. *)

val input : Input.t -> File_descriptor.buffer -> int -> int -> int
(** [input r b off len] is like {!File_descriptor.read_into}, through the buffer. *)
