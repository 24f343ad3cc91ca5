(** Files without copies between the program and the machine.

    {!File_descriptor.read} and {!Fs.pread_into} copy every byte once, from the machine's cache to
    the program's memory. Here the program looks at the cache itself, with the same words for files
    of all kinds: on FAT, ext4 and tar disks, in memory, embedded in the program. What isn't in
    memory is read first, and then stays in the cache as if it had been read. That is worth it for
    bulk data; small pieces are cheaper to copy.

    The bytes of a file come in {e slices}, some of 64 KiB, others shorter: where the file's places
    on the disk aren't neighbours, and at its ends. They must not be written to: that would change
    what others read.

    {b A slice never changes.} It is the bytes as they were when it was lent, whatever is written to
    the file meanwhile, and also when the file is cut, removed or closed, or its volume unmounted;
    later reads of the file see what was written. Slices that were lent at different times may
    therefore be of different states of the file, as with reads.

    What is lent counts as used by the cache, of which half can be lent at a time, 1/16 of the
    machine's memory; embedded files don't count. Copies are made of what has no memory that could
    be lent: gaps in files, files on ext4 that were changed since the last {!Fs.sync}, files of more
    than half of the cache, and folders of the host in the process form. *)

type lease
(** The type for leases of a file's bytes. At most 256 leases exist at a time. *)

val lease : [> `File ] File_descriptor.t -> position:int -> int -> lease option
(** [lease d ~position len] is the slice of the file that begins at byte [position], of at most
    [len] bytes, or [None] at the end of the file or if [len = 0]; the descriptor's own position
    stays. It waits for the disk if the slice isn't in memory. {!release} it soon. Raises
    {!Soil.exception-Error} as {!Fs.pread}, and with [Out_of_memory] while too much is lent: read
    with a copy then, or release leases. Raises [Invalid_argument] if [position] or [len] is
    negative. *)

val buffer : lease -> File_descriptor.buffer
(** [buffer l] is the bytes, at least one, to be read only. After {!release} it has length 0. *)

val release : lease -> unit
(** [release l] gives the bytes back; [buffer l] is empty from now on. Releasing again does nothing.

    The memory is reused only when it is unreachable: parts of it ([Bigarray.Array1.sub]) that the
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
    its end or for [len] bytes. [b] is the same bigarray each time, shows the slice for the length
    of the call, and is empty afterwards; parts of it stay, as with {!release}. A megabyte is
    borrowed at a time, which costs less than a {!val-lease} for each slice, and given back when [f]
    is through with it or raises. Other errors as {!val-lease}.

    A file goes to a connection with one copy by
    [iter d (fun b -> File_descriptor.write_from c b 0 (Bigarray.Array1.dim b))], and with none by
    {!Zero_copy.send} in the place of that, which waits for the peer after each slice. *)
