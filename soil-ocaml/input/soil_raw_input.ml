(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external input_open :
  unit ->
  (int[@untagged])
  = "soil_input_open_bytecode" "soil_input_open"
[@@noalloc]
(** Opens the input devices; the result is their number. Their events are those from now on. Errors:
    [No_device] with a detail that says what to do; [Busy] when they are open;
    [Bad_configuration]. *)

external input_close :
  unit ->
  (int[@untagged])
  = "soil_input_close_bytecode" "soil_input_close"
[@@noalloc]
(** Closes the input devices. A waiting operation ends with [Closed]. *)

external input_describe :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_input_describe_bytecode" "soil_input_describe"
[@@noalloc]
(** Copies the description of device [device] (from 0) to [into\[off .. off + len\]], cut where it
    doesn't fit, and returns its whole length. Each line is a word and numbers, or text: [ids], bus,
    vendor, product, version; [properties], [keys], [relative], [switches], [leds], the codes of
    evdev; for each axis [absolute], code, minimum, maximum, fuzz, flat, resolution; [repeats], 1 if
    held keys are to be repeated; [serial]; [name]. Errors: [Not_found] after the last device. *)

external input_next :
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_input_next_bytecode" "soil_input_next"
[@@noalloc]
(** Waits for events and fills [into] with five numbers for each: device, monotonic nanoseconds,
    type, code and value as in evdev. The result is their number. Errors: [Invalid] (no room for
    one), [Busy] (another operation waits), [Closed]. *)

external input_set_led :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_input_set_led_bytecode" "soil_input_set_led"
[@@noalloc]
(** Switches light [led] of a device on (1) or off (0). Errors: [Not_found], [Unsupported] (the
    device has no such light), [Io], [Closed]. *)
