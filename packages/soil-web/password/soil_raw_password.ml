(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t

external password_parameter : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_password_parameter_bytecode" "soil_password_parameter" [@@noalloc]

external password_hash :
  bytes_buffer ->
  (int[@untagged]) ->
  string ->
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_password_hash_bytecode" "soil_password_hash"

external password_verify : bytes_buffer -> (int[@untagged]) -> string -> string -> (int[@untagged])
  = "soil_password_verify_bytecode" "soil_password_verify"
