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
  = "soil_fs_set_times_bytecode" "soil_fs_set_times"
[@@noalloc]
(** Sets when the contents of what [path] names were last read and last changed, each in seconds
    since 1970 and nanoseconds of that; -1 nanoseconds leave it as it is. A symbolic link at the end
    is followed if [follow] is 1. A moment that the file system can't say becomes the nearest that
    it can. Errors: [Not_found], [Read_only], [Unsupported], [Invalid], … *)

external file_allocate :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_allocate_bytecode" "soil_file_allocate"
[@@noalloc]
(** Changes the room of [len] bytes of the file from [position] on: [how] 0 gives it room, and the
    file grows to its end; 1 does so and leaves the size; 2 makes it a hole; 3 makes it zeros that
    have room, and the file grows to its end. Errors: [No_space], [Too_large], [Read_only],
    [Unsupported], [Invalid] for no bytes. *)

external file_next :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_next_bytecode" "soil_file_next"
[@@noalloc]
(** The first byte of the file from [position] on that is data, or in a hole if [hole] is 1; the
    result is the byte after that, or 0 where there is none. The end of the file is a hole unless
    [position] is there or past it. *)

external cache_statistics :
  string ->
  Soil_raw.int_buffer ->
  (int[@untagged])
  = "soil_cache_statistics_bytecode" "soil_cache_statistics"
[@@noalloc]
(** Fills [into] with the [CacheStatistics] of the volume mounted at [point], or, if that is empty,
    of all volumes since the program started. The result is 0. Errors: [Not_found] if nothing is
    mounted there. *)
