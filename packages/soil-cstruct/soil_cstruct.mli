(** Soil's input and output with buffers of the [cstruct] library.

    Each function is [Soil]'s function of the same name for a whole [Cstruct.t], without an
    additional copy: waiting, errors and cancellation are the same. *)

val read : [> `Read ] Soil.File_descriptor.t -> Cstruct.t -> int
(** [read d c] is [Soil.File_descriptor.read_into] for [c]: the number of bytes stored, 0 at the end
    of input or if [c] is empty. *)

val really_read : [> `Read ] Soil.File_descriptor.t -> Cstruct.t -> unit
(** [really_read d c] fills [c]. Raises [End_of_file] if the input is shorter; after any exception
    the received bytes are in [c] and aren't read again. *)

val write : [> `Write ] Soil.File_descriptor.t -> Cstruct.t -> unit
(** [write d c] is [Soil.File_descriptor.write_from] for [c]. *)

val writev : [> `Write ] Soil.File_descriptor.t -> Cstruct.t list -> unit
(** [writev d l] writes the buffers of [l] in order. Writes of other tasks may be interleaved. *)

val input : Soil.Reader.t -> Cstruct.t -> int
(** [input r c] is [Soil.Reader.Bigarray.input] for [c]. *)

val output : Soil.Writer.t -> Cstruct.t -> unit
(** [output w c] is [Soil.Writer.buffer] for [c]. *)

val pread : [> `File ] Soil.File_descriptor.t -> position:int -> Cstruct.t -> int
(** [pread d ~position c] is [Soil.Fs.pread_into] for [c]. *)

val pwrite : [> `File ] Soil.File_descriptor.t -> position:int -> Cstruct.t -> unit
(** [pwrite d ~position c] is [Soil.Fs.pwrite_from] for [c]. *)

val of_buffer : Soil.File_descriptor.buffer -> Cstruct.t
(** [of_buffer b] is [b], for example from {!Soil.Zero_copy} or {!Soil.In_place}, without a copy. *)
