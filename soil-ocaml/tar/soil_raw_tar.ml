(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external use_tar :
  unit ->
  (int[@untagged])
  = "soil_use_tar_bytecode" "soil_use_tar"
[@@noalloc]
(** Makes tar archives one of the file systems that can be mounted. *)
