(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external block_open : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_block_open_bytecode" "soil_block_open" [@@noalloc]

external block_info : (int[@untagged]) -> int_buffer -> (int[@untagged])
  = "soil_block_info_bytecode" "soil_block_info" [@@noalloc]

external block_skew : bytes_buffer -> (int[@untagged]) -> (int[@untagged])
  = "soil_block_skew_bytecode" "soil_block_skew" [@@noalloc]

external block_read :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_read_bytecode" "soil_block_read" [@@noalloc]

external block_write :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_write_bytecode" "soil_block_write" [@@noalloc]

external block_readv :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes_buffer array ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_readv_bytecode" "soil_block_readv" [@@noalloc]

external block_writev :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes_buffer array ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_writev_bytecode" "soil_block_writev" [@@noalloc]

external block_clear :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_clear_bytecode" "soil_block_clear" [@@noalloc]

external block_given_up : unit -> (int[@untagged])
  = "soil_block_given_up_bytecode" "soil_block_given_up" [@@noalloc]

external block_flush : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_block_flush_bytecode" "soil_block_flush" [@@noalloc]

external block_name :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_block_name_bytecode" "soil_block_name" [@@noalloc]
