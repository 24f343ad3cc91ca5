(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t
type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t

external display_name :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_name_bytecode" "soil_display_name"
[@@noalloc]
(** Copies the name of display [display] (from 0) to [into\[off .. off + len\]], cut where it
    doesn't fit; returns its whole length. The first use of displays opens them. Errors: [Not_found]
    after the last display; [Bad_configuration]. *)

external display_open :
  string ->
  (int[@untagged])
  = "soil_display_open_bytecode" "soil_display_open"
[@@noalloc]
(** Opens the display [name], or the first one for an empty name; the result is its place (from 0).
    Errors: [No_device] with a detail that says what to do, or lists the displays there are; [Busy]
    when it is open; [Bad_configuration]. *)

external display_close :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_close_bytecode" "soil_display_close"
[@@noalloc]
(** Closes a display. Waiting operations end with [Closed]. The picture stays, the cursor is hidden,
    and the program keeps the memory of its buffers for as long as it can reach it. *)

external display_info :
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged])
  = "soil_display_info_bytecode" "soil_display_info"
[@@noalloc]
(** Fills [into] with: whether the display is connected (1); the width and height that fit it now,
    in pixels; width and height of its picture in millimetres, 0 if not known; the number of its
    modes; the number of changes of all this so far; the number of the last frame, 0 if there is
    none yet. *)

external display_mode :
  (int[@untagged]) ->
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged])
  = "soil_display_mode_bytecode" "soil_display_mode"
[@@noalloc]
(** Fills [into] with width, height and refresh rate (in thousandths of a hertz, 0 if not known) of
    mode [mode] (from 0; the preferred one first). Errors: [Not_found] after the last mode. *)

external display_monitor :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_monitor_bytecode" "soil_display_monitor"
[@@noalloc]
(** Copies the monitor's name as [soil_display_name] does; 0 if it has none. *)

external display_edid :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_edid_bytecode" "soil_display_edid"
[@@noalloc]
(** Copies the monitor's EDID as [soil_display_name] does; 0 if it has none. *)

external display_changed :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_changed_bytecode" "soil_display_changed"
[@@noalloc]
(** Waits until there were more or fewer changes than [seen]; the result is their number. *)

external display_buffer :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  pixels ->
  (int[@untagged])
  = "soil_display_buffer_bytecode" "soil_display_buffer"
[@@noalloc]
(** Makes a frame buffer of black pixels and points [into], an empty bigarray that isn't used for
    anything else, at its memory: a row for each line, of which the first [width] pixels are shown.
    A pixel is [0xXXRRGGBB]. The result is the buffer's number. Errors: [Invalid] (a side isn't
    within 16 and 8192, or [into] isn't empty), [Out_of_memory], [Io]. *)

external display_release :
  (int[@untagged]) ->
  (int[@untagged]) ->
  pixels ->
  (int[@untagged])
  = "soil_display_release_bytecode" "soil_display_release"
[@@noalloc]
(** Ends the use of a buffer: [pixels], the bigarray that showed it, is empty from now on. The
    memory is used again once no part of it can be reached and the display shows another buffer.
    Errors: [Closed] (there is no such buffer), [Invalid] (it is another one's bigarray). *)

external display_present :
  (int[@untagged]) ->
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged])
  = "soil_display_present_bytecode" "soil_display_present"
[@@noalloc]
(** Shows a buffer. [damage] has the rectangles that have changed in it since it was shown last:
    column, row, width and height of each. The result is the number of the frame, from 1 on. Errors:
    [Busy] (two frames haven't ended), [Invalid], [Closed], [Io]. *)

external display_await :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_await_bytecode" "soil_display_await"
[@@noalloc]
(** Waits until a frame has ended: the display has read the buffer and shows it. Errors: [Io], and
    [Timed_out] when the display doesn't answer within ten seconds. *)

external display_disable :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_disable_bytecode" "soil_display_disable"
[@@noalloc]
(** Shows nothing until the next frame. Errors: [Io]. *)

external display_set_cursor :
  (int[@untagged]) ->
  pixels ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_set_cursor_bytecode" "soil_display_set_cursor"
[@@noalloc]
(** Sets the cursor's image, 64 rows of 64 pixels [0xAARRGGBB], and shows it; [x] and [y] are the
    pixel of it that points. Errors: [Invalid], [Unsupported] (the display has no cursor), [Io]. *)

external display_move_cursor :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_move_cursor_bytecode" "soil_display_move_cursor"
[@@noalloc]
(** Moves the cursor to a pixel of the display. Errors: [Invalid] (a negative number). *)

external display_hide_cursor :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_display_hide_cursor_bytecode" "soil_display_hide_cursor"
[@@noalloc]
(** Hides the cursor until its image is set. *)
