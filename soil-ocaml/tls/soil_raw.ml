(* The types that generated externals name; the library soil keeps its own module of this name to
   itself. *)

type bytes_buffer = Soil.File_descriptor.buffer
