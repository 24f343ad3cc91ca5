(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external block_open :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_block_open"
[@@noalloc]
(** Opens the disk [name]; the result is its descriptor. Errors: [No_device] with a detail that lists the disks there are, [Busy] when it is mounted. *)

external block_info :
  (int[@untagged]) ->
  Soil_raw.int_buffer ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_block_info"
[@@noalloc]
(** Fills [into] with sector size in bytes, number of sectors, 1 if read only, most sectors in one request. *)

external block_skew :
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_block_skew"
[@@noalloc]
(** How many bytes after the start of [buffer] the first multiple of [alignment] bytes, a power of two, is; it need not be inside. Errors: [Invalid]. *)

external block_read :
  (int[@untagged]) ->
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_block_read"
[@@noalloc]
(** Reads [len] bytes, a multiple of the sector size, from [sector] on to [into\[off ..\]], to which the device writes by itself; the result is [len]. Errors: [Invalid], [Too_large], [Io]. *)

external block_write :
  (int[@untagged]) ->
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_block_write"
[@@noalloc]
(** Writes [from\[off .. off + len\]], a multiple of the sector size, from [sector] on; the result is [len]. It is on the disk for good after [soil_block_flush]. Errors: [Invalid], [Too_large], [Read_only], [Io]. *)

external block_flush :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_block_flush"
[@@noalloc]
(** Completes when every write that completed before is on the disk for good. *)

external block_name :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_block_name"
[@@noalloc]
(** Copies the name of disk [index] (from 0) to the start of [into], cut where it doesn't fit; returns its whole length. Errors: [Not_found] after the last disk. *)
