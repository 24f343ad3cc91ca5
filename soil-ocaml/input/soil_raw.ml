(* The types that generated externals name; the library soil keeps its own module of this name to
   itself. *)

type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t
