(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external tls_trust_mozilla :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_trust_mozilla_bytecode" "soil_tls_trust_mozilla"
[@@noalloc]
(** Adds Mozilla's roots, as of the build of this library, to options of TLS. Errors: [Invalid]. *)
