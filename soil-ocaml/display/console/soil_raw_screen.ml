(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external use_screen :
  unit ->
  (int[@untagged])
  = "soil_use_screen_bytecode" "soil_use_screen"
[@@noalloc]
(** Shows the console on the first display as well, if the machine's command line has
    [SOIL_CONSOLE=display]; does nothing in a process. To be called once. Errors: [Too_many]. *)
