(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external block_open :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_open_bytecode" "soil_block_open"
[@@noalloc]
(** Opens the disk [name], or of [DISK/NUMBER] and [DISK/LABEL] that partition; the result is its
    descriptor. Errors: [No_device] with a detail that lists the disks there are, [Busy] when it is
    mounted or open; [Not_found], [Corrupt] and [Io] of a partition; [Bad_configuration]. *)

external block_info :
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged])
  = "soil_block_info_bytecode" "soil_block_info"
[@@noalloc]
(** Fills [into] with the [BlockInfo] of a disk. Its size is read again, as it may have grown or
    shrunk. *)

external block_skew :
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_skew_bytecode" "soil_block_skew"
[@@noalloc]
(** How many bytes after the start of [buffer] the first multiple of [alignment] bytes, a power of
    two, is; it need not be inside. Errors: [Invalid]. *)

external block_read :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_read_bytecode" "soil_block_read"
[@@noalloc]
(** Reads [len] bytes, a multiple of the sector size, from [sector] on to [into\[off ..\]], to which
    the device writes by itself; the result is [len]. Errors: [Invalid]; [Too_large]; [Io], also for
    sectors beyond the end; [Timed_out] when the device doesn't answer within [SOIL_DISK_TIMEOUT]
    (30 s): the buffer must be kept and left alone until [soil_block_given_up] is 0. *)

external block_write :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_write_bytecode" "soil_block_write"
[@@noalloc]
(** Writes [from\[off .. off + len\]], a multiple of the sector size, from [sector] on; the result
    is [len]. It is on the disk for good after [soil_block_flush]. Errors: those of
    [soil_block_read], [Read_only]. *)

external block_readv :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes_buffer array ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_readv_bytecode" "soil_block_readv"
[@@noalloc]
(** [soil_block_read] into several pieces, one after the other, each a multiple of the sector size:
    [ranges] has offset and length in bytes for each of [buffers], of which there are 1024 at
    most. *)

external block_writev :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes_buffer array ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_writev_bytecode" "soil_block_writev"
[@@noalloc]
(** [soil_block_write] of several pieces, as in [soil_block_readv]. With [durable] = 1 they are on
    the disk for good when it completes. Errors: [Unsupported] for that where the device can't. *)

external block_clear :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_clear_bytecode" "soil_block_clear"
[@@noalloc]
(** Does something to [count] sectors from [sector] on: 0 discards them, 1 makes them zeros, 2 does
    so and may give up the room behind them. Errors: [Invalid], [Read_only], [Unsupported], [Io],
    [Timed_out]. *)

external block_given_up :
  unit ->
  (int[@untagged])
  = "soil_block_given_up_bytecode" "soil_block_given_up"
[@@noalloc]
(** How many requests ended with [Timed_out] that their devices still have. *)

external block_flush :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_flush_bytecode" "soil_block_flush"
[@@noalloc]
(** Completes when every write that completed before is on the disk for good. *)

external block_name :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_block_name_bytecode" "soil_block_name"
[@@noalloc]
(** Copies the name of disk [index] (from 0) to the start of [into], cut where it doesn't fit;
    returns its whole length. Errors: [Not_found] after the last disk. *)
