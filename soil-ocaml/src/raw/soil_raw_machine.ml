(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external machine_memory :
  int_buffer ->
  (int[@untagged])
  = "soil_machine_memory_bytecode" "soil_machine_memory"
[@@noalloc]
(** Fills [into] with a [MachineMemory]. *)

external machine_devices :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_machine_devices_bytecode" "soil_machine_devices"
[@@noalloc]
(** Copies a description of the machine's devices, one a line, to [into\[off .. off + len\]], cut
    where it doesn't fit; returns its whole length. *)

external machine_last_failure :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_machine_last_failure_bytecode" "soil_machine_last_failure"
[@@noalloc]
(** Copies what the machine's last start left to [into\[off .. off + len\]], cut where it doesn't
    fit, and returns its whole length: a line with the exit status, the number of failures in a row
    and the seconds since 1970 (0: unknown), and the end of its error output. Errors: [Not_found]:
    it didn't fail, or the machine keeps nothing ([SOIL_ON_FAILURE]). *)

external instance_text :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_instance_text_bytecode" "soil_instance_text"
[@@noalloc]
(** Copies one of the machine's metadata ([INSTANCE_*]; with an [index] those of which there are
    several) to [into\[off .. off + len\]], cut where it doesn't fit; returns its whole length. The
    first call of a process reads the file that [SOIL_METADATA] names. Errors: [Not_found]: there
    are no metadata, or not so many; others with a detail. *)

external machine_power_off :
  unit ->
  (int[@untagged])
  = "soil_machine_power_off_bytecode" "soil_machine_power_off"
[@@noalloc]
(** Switches the machine off (the process exits with status 0). Returns only with an error. *)

external machine_reboot :
  unit ->
  (int[@untagged])
  = "soil_machine_reboot_bytecode" "soil_machine_reboot"
[@@noalloc]
(** Starts the machine again. Errors: [Unsupported] in the process. *)

external random_fill :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_random_fill_bytecode" "soil_random_fill"
[@@noalloc]
(** Fills [into\[off .. off + len\]] with random bytes fit for keys; returns [len]. [WOULD_BLOCK]:
    entropy is being collected, see [soil_random_seed]. Errors: [No_entropy] with a detail. *)

external random_seed :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_random_seed_bytecode" "soil_random_seed"
[@@noalloc]
(** Waits until [soil_random_fill] can answer: 0 at once, or [PENDING]. Errors: [No_entropy] with a
    detail. *)
