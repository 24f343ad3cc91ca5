(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external use_memory :
  unit ->
  (int[@untagged])
  = "soil_use_memory_bytecode" "soil_use_memory"
[@@noalloc]
(** Makes volumes in memory one of the file systems that can be mounted. *)
