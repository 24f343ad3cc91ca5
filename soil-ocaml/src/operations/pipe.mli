(** Pipes: [Soil.pipe]. Private to Soil. *)

val create :
  ?capacity:int ->
  unit ->
  [ `Read | `Shutdown ] File_descriptor.t * [ `Write | `Shutdown ] File_descriptor.t
