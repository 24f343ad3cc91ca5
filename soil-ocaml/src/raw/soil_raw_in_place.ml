(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

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
  Soil_raw.bytes_buffer ->
  (int[@untagged])
  = "soil_file_lease_next_bytecode" "soil_file_lease_next"
[@@noalloc]
(** Points [into] at the next slice of a lease; returns its length in bytes, 0 after the last one,
    with which [into] is left alone. The first time [into] is an empty bigarray that isn't used for
    anything else, then the same one. Errors: [Invalid] (no such lease, or it is another one's
    bigarray). *)

external file_lease_end :
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged])
  = "soil_file_lease_end_bytecode" "soil_file_lease_end"
[@@noalloc]
(** Ends a lease: [buffer], the bigarray that showed its slices, is empty from now on. The memory is
    used again once no part of it ([sub]) can be reached. Errors: [Invalid] (no such lease, or it is
    another one's bigarray). *)
