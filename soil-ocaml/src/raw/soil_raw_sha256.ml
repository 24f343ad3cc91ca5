(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

external sha256 : string -> bytes -> (int[@untagged])
  = "soil_sha256_bytecode" "soil_sha256" [@@noalloc]

external hmac_sha256 : string -> string -> bytes -> (int[@untagged])
  = "soil_hmac_sha256_bytecode" "soil_hmac_sha256" [@@noalloc]
