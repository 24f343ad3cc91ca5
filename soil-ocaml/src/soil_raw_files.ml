(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external fs_open :
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_open"
[@@noalloc]
(** Opens the file at [path]; [flags] is a sum of [OPEN_*]. The result is its descriptor. Errors: [Not_found], [Exists], [Is_directory], [Read_only], [No_space], [Invalid_name], [Corrupt], … *)

external file_read :
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_file_read"
[@@noalloc]
(** Reads up to [len] bytes to [into\[off ..\]] from byte [position] of the file, or from the descriptor's own position, which moves on, when [position] is -1. The result is the number of bytes, less than [len] only at the end of the file, 0 at or after it. *)

external file_write :
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_file_write"
[@@noalloc]
(** Writes [from\[off .. off + len\]] at byte [position] of the file, or at the descriptor's own position, which moves on, when [position] is -1. The result is the number of bytes, less than [len] only when the disk is full. Errors: [No_space], [Too_large], [Read_only]. *)

external file_size :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_file_size"
[@@noalloc]
(** The size of the file in bytes. *)

external file_truncate :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_file_truncate"
[@@noalloc]
(** Makes the file [size] bytes long, cutting it or adding zeros. *)

external file_seek :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_file_seek"
[@@noalloc]
(** Moves the descriptor's position to [offset] from the start ([whence] 0), from itself (1) or from the file's end (2); the result is the new position. *)

external file_sync :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_file_sync"
[@@noalloc]
(** Completes when everything written to the file so far is on the disk. *)

external fs_stat :
  string ->
  Soil_raw.int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_stat"
[@@noalloc]
(** Fills [into] with size in bytes, kind ([ENTRY_*]), time of last change (seconds since 1970) of what [path] names. *)

external fs_directory :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_directory"
[@@noalloc]
(** Opens the directory at [path] for [soil_directory_next]; the result is its descriptor. *)

external directory_next :
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_directory_next"
[@@noalloc]
(** Writes the next entries to [into\[0 .. len\]], as many as fit, each as kind (1 byte, [ENTRY_*]), length of the name (2 bytes, low one first), name; the result is the number of bytes, 0 after the last entry. Errors: [Invalid] if not even one entry fits. *)

external fs_mkdir :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_mkdir"
[@@noalloc]
(** Makes an empty directory. *)

external fs_remove_directory :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_remove_directory"
[@@noalloc]
(** Removes an empty directory. *)

external fs_rename :
  string ->
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_rename"
[@@noalloc]
(** Gives [from] the path [to] on the same volume, replacing a file of that name. *)

external fs_unlink :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_unlink"
[@@noalloc]
(** Removes a file. Errors: [Is_directory], [Busy] when it is open. *)

external fs_sync :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_sync"
[@@noalloc]
(** Completes when everything written to any volume so far is on its disk. *)

external fs_space :
  string ->
  Soil_raw.int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_space"
[@@noalloc]
(** Fills [into] with total and free bytes of the volume that holds [path]. *)

external fs_mount :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_fs_mount"
[@@noalloc]
(** Mounts as [SOIL_MOUNT] does: [spec] is [/PATH=fat:DISK]. Errors: [Not_found], [Exists], [Corrupt], [Bad_configuration]. *)
