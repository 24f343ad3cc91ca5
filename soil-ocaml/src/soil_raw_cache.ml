(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external cache_statistics :
  string ->
  Soil_raw.int_buffer ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_cache_statistics"
[@@noalloc]
(** Fills [into] with the [CacheStatistics] of the volume mounted at [point], or, if that is empty,
    of all volumes since the program started. The result is 0. Errors: [Not_found] if nothing is
    mounted there. *)
