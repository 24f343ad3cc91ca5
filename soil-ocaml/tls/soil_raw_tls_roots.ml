(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

external tls_trust_mozilla : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_trust_mozilla_bytecode" "soil_tls_trust_mozilla" [@@noalloc]
