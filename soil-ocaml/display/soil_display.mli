(** Displays: pictures on a screen.

    {[
      (* Fills the screen with a colour that changes. *)
      let () =
        Soil.run @@ fun () ->
        Soil_display.with_display @@ fun display ->
        Soil_display.with_frames display @@ fun frames ->
        for i = 0 to 255 do
          Bigarray.Array2.fill (Soil_display.pixels frames) (Int32.of_int i);
          Soil_display.flip frames
        done
    ]}

    An image has the displays of the machine's virtio-gpu devices; where there is none, those of
    standard VGA and [bochs-display], without a cursor and at one size. A process has those of its
    windows. [soil run --display window] gives both; [--display none] gives a display that isn't
    shown, for [--screenshot] and for tests. [--display-size] chooses its size.

    This library draws nothing. It lends the display's memory as a bigarray of pixels, for the
    program's own loops, for [Soil_draw], or in a process for another library that draws into such
    memory, as Cairo does ([docs/display.md]).

    {b Waiting.} A display takes its time to show a picture. {!flip} and {!wait} wait for that, so
    that a program draws no faster than its pictures are shown; other tasks run meanwhile. A window
    of a process answers once it has drawn, after 50 ms at the latest, [--display none] at once. A
    display that doesn't answer within ten seconds ends the wait with {!Soil.exception-Error}
    [Timed_out]. Waits can be cancelled at any time. The first of {!names} and {!open_} blocks all
    tasks of a process for up to ten seconds, until its window has said which displays there are.

    {b Errors.} Functions of a display raise {!Soil.exception-Error} with [Closed] after {!close},
    and with [Io] if its device, or the process's window, is gone. A frame that failed keeps no
    later one from being shown. *)

type t
(** The type for open displays. *)

val names : unit -> string list
(** [names ()] is the displays of the machine, [display0] and so on; [[]] if it has none. Raises
    {!Soil.exception-Error} with [Bad_configuration], or with [Io] if the window of a process
    doesn't answer. *)

val open_ : ?name:string -> unit -> t
(** [open_ ()] is the display [name] (default: the first one). Nothing is shown yet. Raises
    {!Soil.exception-Error} with [No_device], whose detail names the option of [soil run], with
    [Busy] if it is open, or as {!names}. *)

val close : t -> unit
(** [close d] closes the display and hides its cursor. Its last picture stays, but for a display
    with the console ([SOIL_CONSOLE=display]), where that comes back. Waits end with [Closed].
    Buffers and frames can't be shown any more; their memory stays the program's for as long as it
    can reach it. Closing again does nothing. *)

val with_display : ?name:string -> (t -> 'a) -> 'a
(** [with_display f] is [f d] for the opened display, closed when that returns or raises. *)

val name : t -> string
(** [name d] is the display's name. *)

(** {1 Sizes and modes} *)

type mode = {
  width : int;  (** In pixels. *)
  height : int;  (** In pixels. *)
  refresh : float option;  (** Pictures in a second, if known; it isn't in a process. *)
}
(** The type for modes. *)

type state = {
  connected : bool;
      (** Whether something shows the picture: a monitor, a window, or [--display none], which keeps
          it. Pictures can be presented in any case. A process whose window is closed is asked to
          stop; until it ends, its display stays connected and takes frames. *)
  width : int;
      (** The width in pixels that fits now: the window's, or the monitor's own; 0 while nothing is
          connected. *)
  height : int;  (** The height. *)
  modes : mode list;  (** Modes of the monitor, the preferred one first. *)
  monitor : string option;  (** The monitor's name. *)
  size_mm : (int * int) option;  (** Width and height of the picture in millimetres. *)
  edid : string;  (** The monitor's EDID, or [""]. *)
}
(** The type for what is known of a display. *)

val state : t -> state
(** [state d] is the present state. *)

val await_change : t -> state
(** [await_change d] waits until the state changes, as when the window is resized, and is the new
    one. A change since the last call of {!state} or [await_change], or of {!open_} before there was
    one, counts. *)

val disable : t -> unit
(** [disable d] shows nothing, until the next picture. *)

(** {1 Pixels} *)

type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t
(** The type for the memory of pictures: rows from the top, in them pixels from the left. A pixel is
    [0xXXRRGGBB] with the highest byte ignored, as in Cairo's [RGB24] and DRM's [XRGB8888]. A row
    may have more pixels than are shown: the second dimension is the stride. *)

type rectangle = { x : int; y : int; width : int; height : int }
(** The type for rectangles of pixels: column of the left edge, row of the upper one, and size. What
    isn't on the picture is left out. *)

(** {1 Frames}

    Two buffers in turn: the program draws one while the display shows the other. *)

type frames
(** The type for pairs of buffers. One task at a time uses them. *)

val frames : ?width:int -> ?height:int -> ?keep:bool -> t -> frames
(** [frames d] is two buffers of [width] and [height] pixels (default: those that fit the display
    now; 640 by 480 while nothing is connected). Another size than the display's changes its mode.
    With [~keep:true] (the default) each frame begins as the last one was; with [false] it begins as
    any earlier one, which is faster for a program that draws all of each frame. Raises
    [Invalid_argument] if a side isn't between 16 and 8192, and {!Soil.exception-Error} with
    [Out_of_memory]. *)

val release_frames : frames -> unit
(** [release_frames f] gives both buffers back, as {!release} does. *)

val with_frames : ?width:int -> ?height:int -> ?keep:bool -> t -> (frames -> 'a) -> 'a
(** [with_frames d g] is [g (frames d)], whose buffers are given back when that returns or raises.
*)

val pixels : frames -> pixels
(** [pixels f] is the buffer that isn't shown, to draw in until the next {!flip}. *)

val size : frames -> int * int
(** [size f] is the width and height of the pictures in pixels. *)

val flip : ?damage:rectangle list -> frames -> unit
(** [flip f] shows what was drawn. It waits until the display has the frame before this one, so that
    {!pixels}[ f] can be drawn in then. [damage] are the rectangles that differ from the last frame
    (default: everything); the rest isn't sent to the display. A [flip] that raises or is cancelled
    may have shown the picture or not; what it didn't show, the next one does. Raises
    {!Soil.exception-Error} with [Io] or [Timed_out] if the frame before failed. *)

(** {1 Single buffers}

    For programs that need other than two buffers, or want to know when a picture is shown. *)

type buffer
(** The type for buffers. The display keeps a buffer until {!release} or {!close}, also one that the
    program has dropped. *)

val buffer : t -> width:int -> height:int -> buffer
(** [buffer d ~width ~height] is a buffer of black pixels. Raises as {!val-frames}, and with
    [Too_many_open] if a process has 512 of them. *)

val release : buffer -> unit
(** [release b] gives the buffer back: {!memory}[ b] is empty from now on. The memory is reused once
    the program can't reach any part of it ([Bigarray.Array2.sub_left]) and the display shows
    something else. No other thread or domain may use it during the call, which may unmap it.
    Releasing again, or after {!close}, does nothing. *)

val memory : buffer -> pixels
(** [memory b] is the pixels of the buffer. *)

type shown
(** The type for pictures that were presented. *)

val present : ?damage:rectangle list -> buffer -> shown
(** [present b] shows the buffer. [damage] are the rectangles that have changed in [b] since it was
    presented last (default: everything). It waits only while two pictures haven't been read by the
    display. What is drawn into [b] before {!wait} returns may or may not be seen. *)

val wait : shown -> unit
(** [wait s] waits until the display has read the buffer and shows it. Raises
    {!Soil.exception-Error} with [Io] or [Timed_out]. *)

(** {1 The cursor} *)

val set_cursor : t -> ?x:int -> ?y:int -> pixels -> unit
(** [set_cursor d image] shows a cursor: 64 rows of 64 pixels [0xAARRGGBB], whose highest byte says
    how opaque they are. Its pixel in column [x] and row [y] (default: 0) points. Raises
    [Invalid_argument] if the image is of another size or the pixel isn't on it, and
    {!Soil.exception-Error} with [Unsupported] if the display has no cursor of its own. *)

val move_cursor : t -> x:int -> y:int -> unit
(** [move_cursor d ~x ~y] lets the cursor point at this pixel of the display. Raises
    [Invalid_argument] if one is negative. *)

val hide_cursor : t -> unit
(** [hide_cursor d] hides the cursor, until it is set again. *)
