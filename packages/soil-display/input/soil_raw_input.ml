(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external input_open : unit -> (int[@untagged])
  = "soil_input_open_bytecode" "soil_input_open" [@@noalloc]

external input_close : unit -> (int[@untagged])
  = "soil_input_close_bytecode" "soil_input_close" [@@noalloc]

external input_describe :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_input_describe_bytecode" "soil_input_describe" [@@noalloc]

external input_next : int_buffer -> (int[@untagged]) -> (int[@untagged])
  = "soil_input_next_bytecode" "soil_input_next" [@@noalloc]

external input_set_led :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_input_set_led_bytecode" "soil_input_set_led" [@@noalloc]
