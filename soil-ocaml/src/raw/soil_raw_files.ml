(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external fs_open : string -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_open_bytecode" "soil_fs_open" [@@noalloc]

external file_read :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_read_bytecode" "soil_file_read" [@@noalloc]

external file_write :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_write_bytecode" "soil_file_write" [@@noalloc]

external fs_given_up : (int[@untagged]) -> (int[@untagged])
  = "soil_fs_given_up_bytecode" "soil_fs_given_up" [@@noalloc]

external file_size : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_file_size_bytecode" "soil_file_size" [@@noalloc]

external file_truncate :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_file_truncate_bytecode" "soil_file_truncate" [@@noalloc]

external file_allocate :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_allocate_bytecode" "soil_file_allocate" [@@noalloc]

external file_next :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_file_next_bytecode" "soil_file_next" [@@noalloc]

external file_seek :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_file_seek_bytecode" "soil_file_seek" [@@noalloc]

external file_sync : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_file_sync_bytecode" "soil_file_sync" [@@noalloc]

external fs_stat : string -> (int[@untagged]) -> int_buffer -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_stat_bytecode" "soil_fs_stat" [@@noalloc]

external fs_set_times :
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_set_times_bytecode" "soil_fs_set_times" [@@noalloc]

external file_stat : (int[@untagged]) -> int_buffer -> (int[@untagged]) -> (int[@untagged])
  = "soil_file_stat_bytecode" "soil_file_stat" [@@noalloc]

external file_contents : (int[@untagged]) -> int_buffer -> (int[@untagged]) -> (int[@untagged])
  = "soil_file_contents_bytecode" "soil_file_contents" [@@noalloc]

external fs_directory : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_directory_bytecode" "soil_fs_directory" [@@noalloc]

external directory_next :
  (int[@untagged]) -> bytes_buffer -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_directory_next_bytecode" "soil_directory_next" [@@noalloc]

external fs_mkdir : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_mkdir_bytecode" "soil_fs_mkdir" [@@noalloc]

external fs_remove_directory : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_remove_directory_bytecode" "soil_fs_remove_directory" [@@noalloc]

external fs_rename : string -> string -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_rename_bytecode" "soil_fs_rename" [@@noalloc]

external fs_link : string -> string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_link_bytecode" "soil_fs_link" [@@noalloc]

external fs_symlink : string -> string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_symlink_bytecode" "soil_fs_symlink" [@@noalloc]

external fs_readlink :
  string -> bytes_buffer -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_readlink_bytecode" "soil_fs_readlink" [@@noalloc]

external fs_realpath :
  string -> bytes_buffer -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_realpath_bytecode" "soil_fs_realpath" [@@noalloc]

external fs_unlink : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_unlink_bytecode" "soil_fs_unlink" [@@noalloc]

external fs_sync_volume : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_sync_volume_bytecode" "soil_fs_sync_volume" [@@noalloc]

external fs_sync : (int[@untagged]) -> (int[@untagged])
  = "soil_fs_sync_bytecode" "soil_fs_sync" [@@noalloc]

external fs_space :
  string -> int_buffer -> bytes_buffer -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_space_bytecode" "soil_fs_space" [@@noalloc]

external fs_mount : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_mount_bytecode" "soil_fs_mount" [@@noalloc]

external fs_unmount : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_fs_unmount_bytecode" "soil_fs_unmount" [@@noalloc]

external cache_statistics : string -> int_buffer -> (int[@untagged])
  = "soil_cache_statistics_bytecode" "soil_cache_statistics" [@@noalloc]

external file_lease :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_file_lease_bytecode" "soil_file_lease" [@@noalloc]

external file_lease_next : (int[@untagged]) -> bytes_buffer -> (int[@untagged])
  = "soil_file_lease_next_bytecode" "soil_file_lease_next" [@@noalloc]

external file_lease_end : (int[@untagged]) -> bytes_buffer -> (int[@untagged])
  = "soil_file_lease_end_bytecode" "soil_file_lease_end" [@@noalloc]

external embed_file : string -> string -> (int[@untagged])
  = "soil_embed_file_bytecode" "soil_embed_file" [@@noalloc]

external embed_mount : string -> (int[@untagged])
  = "soil_embed_mount_bytecode" "soil_embed_mount" [@@noalloc]
