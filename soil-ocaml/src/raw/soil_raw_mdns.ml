(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

external mdns_start : string -> (int[@untagged])
  = "soil_mdns_start_bytecode" "soil_mdns_start" [@@noalloc]

external mdns_name : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_mdns_name_bytecode" "soil_mdns_name" [@@noalloc]
