(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t
type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t

external display_name :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_display_name_bytecode" "soil_display_name" [@@noalloc]

external display_open : string -> (int[@untagged])
  = "soil_display_open_bytecode" "soil_display_open" [@@noalloc]

external display_close : (int[@untagged]) -> (int[@untagged])
  = "soil_display_close_bytecode" "soil_display_close" [@@noalloc]

external display_info : (int[@untagged]) -> int_buffer -> (int[@untagged])
  = "soil_display_info_bytecode" "soil_display_info" [@@noalloc]

external display_mode : (int[@untagged]) -> (int[@untagged]) -> int_buffer -> (int[@untagged])
  = "soil_display_mode_bytecode" "soil_display_mode" [@@noalloc]

external display_monitor :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_display_monitor_bytecode" "soil_display_monitor" [@@noalloc]

external display_edid :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_display_edid_bytecode" "soil_display_edid" [@@noalloc]

external display_changed :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_display_changed_bytecode" "soil_display_changed" [@@noalloc]

external display_buffer :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> pixels -> (int[@untagged])
  = "soil_display_buffer_bytecode" "soil_display_buffer" [@@noalloc]

external display_release : (int[@untagged]) -> (int[@untagged]) -> pixels -> (int[@untagged])
  = "soil_display_release_bytecode" "soil_display_release" [@@noalloc]

external display_present : (int[@untagged]) -> (int[@untagged]) -> int_buffer -> (int[@untagged])
  = "soil_display_present_bytecode" "soil_display_present" [@@noalloc]

external display_await :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_display_await_bytecode" "soil_display_await" [@@noalloc]

external display_disable : (int[@untagged]) -> (int[@untagged])
  = "soil_display_disable_bytecode" "soil_display_disable" [@@noalloc]

external display_set_cursor :
  (int[@untagged]) -> pixels -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_display_set_cursor_bytecode" "soil_display_set_cursor" [@@noalloc]

external display_move_cursor :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_display_move_cursor_bytecode" "soil_display_move_cursor" [@@noalloc]

external display_hide_cursor : (int[@untagged]) -> (int[@untagged])
  = "soil_display_hide_cursor_bytecode" "soil_display_hide_cursor" [@@noalloc]
