(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external fs_open :
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_open_bytecode" "soil_fs_open"
[@@noalloc]
(** Opens the file at [path]; [flags] is a sum of [OPEN_*]. The result is its descriptor. Errors:
    [Not_found], [Exists], [Is_directory], [Read_only], [No_space], [Invalid_name], [Corrupt], … *)

external file_read :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_read_bytecode" "soil_file_read"
[@@noalloc]
(** Reads up to [len] bytes to [into\[off ..\]] from byte [position] of the file, or from the
    descriptor's own position, which moves on, when [position] is -1. The result is the number of
    bytes, less than [len] only at the end of the file, 0 at or after it. *)

external file_write :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_write_bytecode" "soil_file_write"
[@@noalloc]
(** Writes [from\[off .. off + len\]] at byte [position] of the file, or at the descriptor's own
    position, which moves on, when [position] is -1. The result is the number of bytes, less than
    [len] only when the disk is full. Errors: [No_space], [Too_large], [Read_only]. *)

external fs_given_up :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_given_up_bytecode" "soil_fs_given_up"
[@@noalloc]
(** Whether the memory that operation [token] lent is still in use though it failed, because its
    disk didn't answer within [SOIL_DISK_TIMEOUT]: 0 if not, else the number of its volume. To be
    asked before the token is used again, and once; the memory is to be kept and left alone until
    another operation is said to lend that volume its memory. *)

external file_size :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_size_bytecode" "soil_file_size"
[@@noalloc]
(** The size of the file in bytes. *)

external file_truncate :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_truncate_bytecode" "soil_file_truncate"
[@@noalloc]
(** Makes the file [size] bytes long, cutting it or adding zeros. *)

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

external file_seek :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_seek_bytecode" "soil_file_seek"
[@@noalloc]
(** Moves the descriptor's position to [offset] from the start ([whence] 0), from itself (1) or from
    the file's end (2); the result is the new position. *)

external file_sync :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_sync_bytecode" "soil_file_sync"
[@@noalloc]
(** Completes when everything written to the file so far is on the disk. *)

external fs_stat :
  string ->
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_stat_bytecode" "soil_fs_stat"
[@@noalloc]
(** Fills [into] with the [Stat] of what [path] names; a symbolic link at its end is followed if
    [follow] is 1. *)

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

external file_stat :
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_stat_bytecode" "soil_file_stat"
[@@noalloc]
(** Fills [into] as [soil_fs_stat] does, for an open file. *)

external file_contents :
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_contents_bytecode" "soil_file_contents"
[@@noalloc]
(** Fills [into] with the [Contents] of the file and returns 1 if they lie in memory for good; else
    returns 0. *)

external fs_directory :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_directory_bytecode" "soil_fs_directory"
[@@noalloc]
(** Opens the directory at [path] for [soil_directory_next]; the result is its descriptor. *)

external directory_next :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_directory_next_bytecode" "soil_directory_next"
[@@noalloc]
(** Writes the next entries to [into\[0 .. len\]], as many as fit, each as kind (1 byte, [ENTRY_*]),
    length of the name (2 bytes, low one first), name; the result is the number of bytes, 0 after
    the last entry. Errors: [Invalid] if not even one entry fits. *)

external fs_mkdir :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_mkdir_bytecode" "soil_fs_mkdir"
[@@noalloc]
(** Makes an empty directory. *)

external fs_remove_directory :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_remove_directory_bytecode" "soil_fs_remove_directory"
[@@noalloc]
(** Removes an empty directory. *)

external fs_rename :
  string ->
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_rename_bytecode" "soil_fs_rename"
[@@noalloc]
(** Gives [from] the path [to] on the same volume. What has it already is replaced if [how] is 0, an
    error if it is 1, and gets the path [from] if it is 2, as with the flags of Linux's [renameat2].
    Errors: [Cross_volume], [Busy], [Exists], [Unsupported], … *)

external fs_link :
  string ->
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_link_bytecode" "soil_fs_link"
[@@noalloc]
(** Gives the file at [path] a second name, [new], on the same volume. Errors: [Cross_volume],
    [Unsupported], [Too_many_links], … *)

external fs_symlink :
  string ->
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_symlink_bytecode" "soil_fs_symlink"
[@@noalloc]
(** Makes the symbolic link [path], which says [target]. Errors: [Exists], [Unsupported], … *)

external fs_readlink :
  string ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_readlink_bytecode" "soil_fs_readlink"
[@@noalloc]
(** Writes what the symbolic link [path] says to [into\[0 .. len\]], cut where it doesn't fit; the
    result is its whole length. Errors: [Invalid] if it is none. *)

external fs_realpath :
  string ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_realpath_bytecode" "soil_fs_realpath"
[@@noalloc]
(** Writes the path of what [path] names, without symbolic links, to [into\[0 .. len\]], cut where
    it doesn't fit; the result is its whole length. *)

external fs_unlink :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_unlink_bytecode" "soil_fs_unlink"
[@@noalloc]
(** Removes a file. Errors: [Is_directory], [Busy] when it is open. *)

external fs_sync_volume :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_sync_volume_bytecode" "soil_fs_sync_volume"
[@@noalloc]
(** Completes when everything written to the volume that holds [path] so far is on its disk. *)

external fs_sync :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_sync_bytecode" "soil_fs_sync"
[@@noalloc]
(** Completes when everything written to any volume so far is on its disk. *)

external fs_space :
  string ->
  int_buffer ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_space_bytecode" "soil_fs_space"
[@@noalloc]
(** Fills [into] with the [Space] of the volume that holds [path], and writes its mount point, its
    source and the fault of a corrupt one, a line each, to [text\[0 .. len\]]. The result is the
    length of that text. *)

external fs_mount :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_mount_bytecode" "soil_fs_mount"
[@@noalloc]
(** Mounts as [SOIL_MOUNT] does: [spec] is [/PATH=TYPE:SOURCE], or without [TYPE:], and with [,ro]
    to read only. Errors: [No_device], [Exists], [Corrupt], [Unsupported], [Bad_configuration], … *)

external fs_unmount :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fs_unmount_bytecode" "soil_fs_unmount"
[@@noalloc]
(** Makes everything on the volume at [point] durable and gives it up. Errors: [Not_found], [Busy]
    while something on it is open, [Io]. *)

external cache_statistics :
  string ->
  int_buffer ->
  (int[@untagged])
  = "soil_cache_statistics_bytecode" "soil_cache_statistics"
[@@noalloc]
(** Fills [into] with the [CacheStatistics] of the volume mounted at [point], or, if that is empty,
    of all volumes since the program started. The result is 0. Errors: [Not_found] if nothing is
    mounted there. *)

external file_lease :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_file_lease_bytecode" "soil_file_lease"
[@@noalloc]
(** Lends at most [len] bytes of the file, 1 MiB at once, from byte [position] on, as they lie in
    memory, after having read missing parts. The result is the number of the lease, at least 1, or 0
    at the end of the file. It has one slice or several, which [soil_file_lease_next] shows; there
    may be fewer bytes than [len] in them. Errors: as [soil_file_read], and [Out_of_memory] while
    256 leases, or half of the cache's memory, haven't been ended, or are ended but still looked
    at. *)

external file_lease_next :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged])
  = "soil_file_lease_next_bytecode" "soil_file_lease_next"
[@@noalloc]
(** Points [into] at the next slice of a lease; returns its length in bytes, 0 after the last one,
    with which [into] is left alone. The first time [into] is an empty bigarray that isn't used for
    anything else, then the same one. Errors: [Invalid] (no such lease, or it is another one's
    bigarray). *)

external file_lease_end :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged])
  = "soil_file_lease_end_bytecode" "soil_file_lease_end"
[@@noalloc]
(** Ends a lease: [buffer], the bigarray that showed its slices, is empty from now on. The memory is
    used again once no part of it ([sub]) can be reached. Errors: [Invalid] (no such lease, or it is
    another one's bigarray). *)

external embed_file :
  string ->
  string ->
  (int[@untagged])
  = "soil_embed_file_bytecode" "soil_embed_file"
[@@noalloc]
(** Adds a file to the tree that [soil_embed_mount] mounts: [path] in the tree, and its contents. A
    string that is static data of the program is used where it lies, for good; another one is
    copied. *)

external embed_mount :
  string ->
  (int[@untagged])
  = "soil_embed_mount_bytecode" "soil_embed_mount"
[@@noalloc]
(** Mounts the files that were added since the last call at [point], unless [SOIL_MOUNT] names
    something else for that. Errors: [Exists], [Invalid_name], [Out_of_memory]. *)
