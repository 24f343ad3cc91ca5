(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external cache_statistics :
  string ->
  Soil_raw.int_buffer ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_cache_statistics"
[@@noalloc]
(** Fills [into] with dirty bytes, reads that needed no device, reads that did, and bytes read
    ahead, of the volume mounted at [point]; or with an empty [point] those of all volumes since the
    program started, and then the bytes that what was read takes and may take. The result is 0.
    Errors: [Not_found] if nothing is mounted there. *)
