(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t
type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t

external draw_fill :
  pixels ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_draw_fill_bytecode" "soil_draw_fill" [@@noalloc]

external draw_path :
  pixels ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_draw_path_bytecode" "soil_draw_path" [@@noalloc]

external draw_text :
  pixels ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_draw_text_bytecode" "soil_draw_text" [@@noalloc]

external draw_copy : pixels -> (int[@untagged]) -> (int[@untagged]) -> pixels -> (int[@untagged])
  = "soil_draw_copy_bytecode" "soil_draw_copy" [@@noalloc]
