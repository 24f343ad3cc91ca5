(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

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
  = "soil_draw_fill_bytecode" "soil_draw_fill"
[@@noalloc]
(** Paints [width] columns from [x] on in [height] rows from [y] on. *)

external draw_path :
  pixels ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_draw_path_bytecode" "soil_draw_path"
[@@noalloc]
(** Paints the outline that the first [len] numbers of [commands] are: 0 and a point (move), 1 and a
    point (line), 2 and two points (quadratic curve), 3 and three points (cubic curve), 4 (close).
    They and [width] are in 1024ths of a pixel. [shape] is 0 for what the outline encloses, 1 for
    what it encloses an odd number of times, 2 for a line of [width] along it, 3 for one with round
    ends and corners. Errors: [Invalid] (another number in the place of these); [Busy] as every call
    of the runtime. *)

external draw_text :
  pixels ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_draw_text_bytecode" "soil_draw_text"
[@@noalloc]
(** Sets text from its left upper corner, each pixel of the font as a square of [scale] pixels.
    [font] is 0 for 6 by 10, 1 for 8 by 13, 2 for 8 by 13 in bold, 3 for 10 by 20 pixels. Errors:
    [Invalid] (no such font), [Invalid_name] (the text isn't UTF-8). *)

external draw_copy :
  pixels ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  pixels ->
  (int[@untagged])
  = "soil_draw_copy_bytecode" "soil_draw_copy"
[@@noalloc]
(** Copies a picture, whose left upper corner comes to ([x], [y]). Errors: [Invalid] (they are in
    the same memory). *)
