(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

external use_screen : unit -> (int[@untagged])
  = "soil_use_screen_bytecode" "soil_use_screen" [@@noalloc]
