(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external use_ext4 :
  unit ->
  (int[@untagged])
  = "soil_use_ext4_bytecode" "soil_use_ext4"
[@@noalloc]
(** Makes ext4 one of the file systems that can be mounted. *)
