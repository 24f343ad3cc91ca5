(** Displays: pictures on a screen.

    {[
      (* Fills the screen with a changing colour. *)
      let () =
        Soil.run @@ fun () ->
        Soil_display.with_display @@ fun display ->
        Soil_display.with_frames display @@ fun frames ->
        for i = 0 to 255 do
          Bigarray.Array2.fill (Soil_display.pixels frames) (Int32.of_int i);
          Soil_display.flip frames
        done
    ]}

    An image has the displays of the machine's virtio-gpu devices; without these, those of standard
    VGA and [bochs-display], without a cursor and with a fixed size. A process shows its own by VNC.
    [soil run --display window] works for both; [--display none] attaches a display that isn't
    shown, for [--screenshot] and for tests. [--display-size] sets the size.

    This library doesn't draw. It lends the display's memory as a bigarray of pixels, for the
    program's own loops, for [Soil_draw], or in a process for another library that draws into
    memory, such as Cairo ([docs/display.md]).

    {b Waiting.} {!flip} and {!wait} wait until a picture is shown, so that a program draws no
    faster than its display; other tasks run meanwhile. A process acknowledges a picture when it has
    sent it to its viewers, after at most a second, and at once without any. If a display doesn't
    answer within ten seconds, the wait raises {!Soil.exception-Error} [Timed_out]. Waits can be
    cancelled at any time.

    {b Errors.} Functions of a display raise {!Soil.exception-Error} with [Closed] after {!close},
    and with [Io] if its device is gone. A failed frame doesn't prevent later ones. *)

type t
(** The type for open displays. *)

val names : unit -> string list
(** [names ()] is the displays of the machine, [display0] and so on; [[]] if it has none. Raises
    {!Soil.exception-Error} with [Bad_configuration]. *)

val open_ : ?name:string -> unit -> t
(** [open_ ()] opens the display [name] (default: the first one), without showing anything. Raises
    {!Soil.exception-Error} with [No_device], whose detail names the option of [soil run], with
    [Busy] if it is open, or as {!names}. *)

val close : t -> unit
(** [close d] closes the display and hides its cursor. Its last picture stays, unless the console
    ([SOIL_CONSOLE=display]) replaces it. Waits raise [Closed]. Buffers and frames can't be shown
    any more; their memory stays valid as long as the program refers to it. Closing again does
    nothing. *)

val with_display : ?name:string -> (t -> 'a) -> 'a
(** [with_display f] is [f d] for the opened display, closed when that returns or raises. *)

val name : t -> string
(** [name d] is the display's name. *)

(** {1 Sizes and modes} *)

type mode = {
  width : int;  (** In pixels. *)
  height : int;  (** In pixels. *)
  refresh : float option;  (** Pictures per second, if known; unknown in a process. *)
}
(** The type for modes. *)

type state = {
  connected : bool;
      (** Whether there is a monitor; always in a process. Pictures can be presented in any case. A
          process whose window is closed is asked to stop; until it ends, its display stays
          connected and accepts frames. *)
  width : int;
      (** The current width in pixels: the window's, or the monitor's native one; 0 while
          disconnected. *)
  height : int;  (** The height. *)
  modes : mode list;  (** Modes of the monitor, the preferred one first. *)
  monitor : string option;  (** The monitor's name. *)
  size_mm : (int * int) option;  (** Width and height of the picture in millimetres. *)
  edid : string;  (** The monitor's EDID, or [""]. *)
}
(** The type for states of displays. *)

val state : t -> state
(** [state d] is the current state. *)

val await_change : t -> state
(** [await_change d] waits until the state changes, for example when the window is resized, and is
    the new state. A change since the last call of {!state} or [await_change], or otherwise since
    {!open_}, counts. *)

val disable : t -> unit
(** [disable d] blanks the display until the next picture. *)

(** {1 Pixels} *)

type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t
(** The type for picture memory: rows from top to bottom, pixels from left to right. A pixel is
    [0xXXRRGGBB] with the highest byte ignored, as in Cairo's [RGB24] and DRM's [XRGB8888]. A row
    may have more pixels than are shown: the second dimension is the stride. *)

type rectangle = { x : int; y : int; width : int; height : int }
(** The type for rectangles of pixels: column of the left edge, row of the upper edge, and size.
    They are clipped to the picture. *)

(** {1 Frames}

    Double buffering: the program draws into one buffer while the display shows the other. *)

type frames
(** The type for pairs of buffers, used by one task at a time. *)

val frames : ?width:int -> ?height:int -> ?keep:bool -> t -> frames
(** [frames d] is two buffers of [width] and [height] pixels (default: the display's current size;
    640 by 480 while disconnected). A size other than the display's changes its mode. With
    [~keep:true] (the default) each frame starts as a copy of the last one; with [false] it starts
    with the contents of any earlier one, which is faster for a program that draws every frame
    completely. Raises [Invalid_argument] if a side isn't between 16 and 8192, and
    {!Soil.exception-Error} with [Out_of_memory]. *)

val release_frames : frames -> unit
(** [release_frames f] releases both buffers, as {!release} does. *)

val with_frames : ?width:int -> ?height:int -> ?keep:bool -> t -> (frames -> 'a) -> 'a
(** [with_frames d g] is [g (frames d)]; the buffers are released when that returns or raises. *)

val pixels : frames -> pixels
(** [pixels f] is the hidden buffer, to draw into until the next {!flip}. *)

val size : frames -> int * int
(** [size f] is the width and height of the pictures in pixels. *)

val flip : ?damage:rectangle list -> frames -> unit
(** [flip f] shows the drawn picture. It waits until the display has the previous frame, so that
    {!pixels}[ f] is free afterwards. [damage] is the list of rectangles that differ from the last
    frame (default: everything); only these are sent to the display. If [flip] raises or is
    cancelled, the picture may or may not be shown; the next call shows the missing parts. Raises
    {!Soil.exception-Error} with [Io] or [Timed_out] if the previous frame failed. *)

(** {1 Single buffers}

    For programs that need another number of buffers, or the time when a picture is shown. *)

type buffer
(** The type for buffers. The display keeps a buffer until {!release} or {!close}, even if the
    program has dropped it. *)

val buffer : t -> width:int -> height:int -> buffer
(** [buffer d ~width ~height] is a buffer of black pixels. Raises as {!val-frames}, and with
    [Too_many_open] if a process has 512 of them on the display. *)

val release : buffer -> unit
(** [release b] releases the buffer: {!memory}[ b] is empty from now on. The memory is reused once
    the program refers to no part of it ([Bigarray.Array2.sub_left]) and the display shows another
    buffer. No other thread or domain may use it during the call, which may unmap it. Releasing
    again, or after {!close}, does nothing. *)

val memory : buffer -> pixels
(** [memory b] is the pixels of the buffer. *)

type shown
(** The type for pictures that were presented. *)

val present : ?damage:rectangle list -> buffer -> shown
(** [present b] shows the buffer. [damage] is the list of rectangles that have changed in [b] since
    it was last presented (default: everything). It waits only while the display has two unread
    pictures. Drawing into [b] before {!wait} returns may or may not be visible. *)

val wait : shown -> unit
(** [wait s] waits until the display has read the buffer and shows it. Raises
    {!Soil.exception-Error} with [Io] or [Timed_out]. *)

(** {1 The cursor} *)

val set_cursor : t -> ?x:int -> ?y:int -> pixels -> unit
(** [set_cursor d image] shows a cursor: 64 rows of 64 pixels [0xAARRGGBB], whose highest byte is
    the opacity. Its hot spot is in column [x] and row [y] (default: 0). Raises [Invalid_argument]
    if the image has another size or the hot spot is outside, and {!Soil.exception-Error} with
    [Unsupported] if the display has no hardware cursor. *)

val move_cursor : t -> x:int -> y:int -> unit
(** [move_cursor d ~x ~y] moves the cursor's hot spot to this pixel of the display; viewers of VNC
    show it at their own pointers instead. Raises [Invalid_argument] if one is negative. *)

val hide_cursor : t -> unit
(** [hide_cursor d] hides the cursor, until it is set again. *)
