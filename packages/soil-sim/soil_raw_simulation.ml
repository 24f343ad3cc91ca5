(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

external simulation_attach : (int[@untagged]) -> (int[@untagged])
  = "soil_simulation_attach_bytecode" "soil_simulation_attach" [@@noalloc]

external simulation_note : string -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_simulation_note_bytecode" "soil_simulation_note" [@@noalloc]
