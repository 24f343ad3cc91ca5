(** Zero-copy reads of files.

    {!File_descriptor.read} and {!Fs.pread_into} copy every byte once, from the machine's cache to
    the program's memory. Here the program accesses the cache itself, with the same functions for
    all kinds of files: on FAT, ext4 and tar disks, in memory, embedded in the program. Uncached
    contents are read first, and then stay in the cache as after a read. This pays off for bulk
    data; small pieces are cheaper to copy.

    The bytes of a file come in {e slices} of up to 64 KiB, shorter where the file isn't contiguous
    on the disk, and at its ends. Don't write to them: that would change what others read.

    {b A slice never changes.} It has the bytes at the time of the lease, even if the file is
    written, truncated, removed or closed, or its volume unmounted; later reads of the file see the
    changes. So slices leased at different times may show different states of the file, as with
    reads.

    Leased memory counts as used by the cache, of which half can be leased at a time, 1/16 of the
    machine's memory; embedded files don't count. Some contents are copied, because they have no
    cache memory: holes in files, files on ext4 changed since the last {!Fs.sync}, files of more
    than half of the cache, and host folders in the process form. *)

type lease
(** The type for leases of a file's bytes. At most 256 leases exist at a time. *)

val lease : [> `File ] File_descriptor.t -> position:int -> int -> lease option
(** [lease d ~position len] is the slice of the file that begins at byte [position], of at most
    [len] bytes, or [None] at the end of the file or if [len = 0]; the descriptor's own position
    doesn't change. It waits for the disk if the slice isn't cached. {!release} it soon. Raises
    {!Soil.exception-Error} as {!Fs.pread}, and with [Out_of_memory] if too much is leased: read
    with a copy then, or release leases. Raises [Invalid_argument] if [position] or [len] is
    negative. *)

val buffer : lease -> File_descriptor.buffer
(** [buffer l] is the bytes, at least one, read-only. After {!release} it has length 0. *)

val release : lease -> unit
(** [release l] ends the lease; [buffer l] is empty from now on. Releasing again does nothing.

    The memory is reused only when it is unreachable: sub-arrays ([Bigarray.Array1.sub]) that the
    program has kept stay unchanged until the garbage collector frees them. The same holds for a
    lease that is never released, which counts against the limit until then. *)

val with_lease :
  [> `File ] File_descriptor.t -> position:int -> int -> (File_descriptor.buffer -> 'a) -> 'a option
(** [with_lease d ~position len f] is [Some (f (buffer l))] for
    [l = ]{!val-lease}[ d ~position len], which is released when [f] returns or raises; [None] at
    the end of the file. *)

val iter :
  ?position:int ->
  ?len:int ->
  [> `File ] File_descriptor.t ->
  (File_descriptor.buffer -> unit) ->
  unit
(** [iter d f] is [f b] for each slice of the file in turn, from byte [position] (default: 0) on, to
    its end or for [len] bytes. [b] is the same bigarray each time, contains the slice during the
    call, and is empty afterwards; sub-arrays stay, as with {!release}. [iter] leases a megabyte at
    a time, which costs less than a {!val-lease} for each slice, and releases it when [f] is done
    with it or raises. Other errors as {!val-lease}.

    To send a file to a connection with one copy use
    [iter d (fun b -> File_descriptor.write_from c b 0 (Bigarray.Array1.dim b))], without a copy
    {!Zero_copy.send} instead, which waits for the peer after each slice. *)
