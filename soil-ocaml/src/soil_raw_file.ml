(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external fs_set_times :
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_set_times"
[@@noalloc]
(** Sets when the contents of what [path] names were last read and last changed, each in seconds since 1970 and nanoseconds of that; -1 nanoseconds leave it as it is. A symbolic link at the end is followed if [follow] is 1. A moment that the file system can't say becomes the nearest that it can. Errors: [Not_found], [Read_only], [Unsupported], [Invalid], … *)
