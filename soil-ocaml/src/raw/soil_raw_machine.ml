(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external machine_memory : int_buffer -> (int[@untagged])
  = "soil_machine_memory_bytecode" "soil_machine_memory" [@@noalloc]

external machine_devices : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_machine_devices_bytecode" "soil_machine_devices" [@@noalloc]

external machine_last_failure : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_machine_last_failure_bytecode" "soil_machine_last_failure" [@@noalloc]

external instance_text :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_instance_text_bytecode" "soil_instance_text" [@@noalloc]

external machine_reboot : unit -> (int[@untagged])
  = "soil_machine_reboot_bytecode" "soil_machine_reboot" [@@noalloc]

external random_fill : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_random_fill_bytecode" "soil_random_fill" [@@noalloc]

external random_seed : (int[@untagged]) -> (int[@untagged])
  = "soil_random_seed_bytecode" "soil_random_seed" [@@noalloc]

external clock_set_virtual : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_clock_set_virtual_bytecode" "soil_clock_set_virtual" [@@noalloc]

external clock_machine_ns : unit -> (int[@untagged])
  = "soil_clock_machine_ns_bytecode" "soil_clock_machine_ns" [@@noalloc]

external operations_outside : unit -> (int[@untagged])
  = "soil_operations_outside_bytecode" "soil_operations_outside" [@@noalloc]
