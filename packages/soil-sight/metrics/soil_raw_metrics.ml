(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

external statistics : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_statistics_bytecode" "soil_statistics" [@@noalloc]
