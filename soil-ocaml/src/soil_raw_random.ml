(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external random_fill :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_random_fill"
[@@noalloc]
(** Fills [into\[off .. off + len\]] with random bytes fit for keys; returns [len]. [WOULD_BLOCK]:
    entropy is being collected, see [soil_random_seed]. Errors: [No_entropy] with a detail. *)

external random_seed :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_random_seed"
[@@noalloc]
(** Waits until [soil_random_fill] can answer: 0 at once, or [PENDING]. Errors: [No_entropy] with a
    detail. *)
