(** Keyboards, pointers, touch screens.

    {[
      (* Prints what is typed, until Escape. *)
      let () =
        Soil.run @@ fun () ->
        Soil_input.with_devices @@ fun input ->
        let typing = Soil_input.Typing.create Soil_input.Layout.us in
        let rec go () =
          let event = Soil_input.next input in
          match event.what with
          | Key { code = 1; _ } -> ()
          | _ ->
              print_string (Soil_input.Typing.feed typing event);
              flush stdout;
              go ()
        in
        go ()
    ]}

    An image has the machine's virtio-input devices. A process has a keyboard without LEDs, and a
    pointer for each of its windows, named after its display ([pointer of display1]).
    [soil run --display window] provides both, [--display vnc=:N] those of an image's VNC server.
    Both forms use Linux's evdev codes ([input-event-codes.h]).

    {b Waiting.} {!next} waits for an event; other tasks run meanwhile. Unread events are queued, up
    to some thousands; then {!Lost} reports missing ones. A device that is removed, or violates the
    device protocol, reports {!Lost} and no further events. After the last device has done so, waits
    raise {!Soil.exception-Error} with [Io]. A wait can be cancelled at any time without losing
    events. *)

(** {1 Devices} *)

type axis = {
  axis : int;  (** Code, [ABS_*]. *)
  minimum : int;
  maximum : int;
  fuzz : int;  (** Changes up to this value are noise. *)
  flat : int;  (** Values within this distance of the centre count as the centre. *)
  resolution : int;  (** Units per millimetre; 0 if unknown. *)
}
(** The type for absolute axes. *)

type device = {
  number : int;  (** From 0. *)
  name : string;
  serial : string;
  ids : int list;  (** Bus, vendor, product, version. *)
  properties : int list;  (** [INPUT_PROP_*]. *)
  keys : int list;  (** Supported keys and buttons, [KEY_*] and [BTN_*]. *)
  relative : int list;  (** Relative axes and wheels, [REL_*]. *)
  absolute : axis list;
  switches : int list;  (** [SW_*]. *)
  leds : int list;  (** [LED_*]. *)
  repeats : bool;  (** Whether held keys repeat. *)
}
(** The type for devices. *)

type t
(** The type for a program's open devices: all of the machine's. *)

val open_ : ?repeat:(float * float) option -> unit -> t
(** [open_ ()] opens the devices. [repeat] is the delay and the interval of key repetition in
    seconds (default: [Some (0.4, 0.033)]), or [None] for no repetition. A slower program gets fewer
    repetitions. Raises {!Soil.exception-Error} with [No_device], whose detail names the option of
    [soil run], with [Busy] if they are open, or with [Bad_configuration]. Raises [Invalid_argument]
    if a number isn't between [0.001] and [3600.]. *)

val close : t -> unit
(** [close i] closes the devices. Closing again does nothing. *)

val with_devices : ?repeat:(float * float) option -> (t -> 'a) -> 'a
(** [with_devices f] is [f i] for the opened devices, closed when that returns or raises. *)

val devices : t -> device list
(** [devices i] is the devices. *)

val set_led : t -> device -> int -> bool -> unit
(** [set_led i d led on] switches an LED: 0 is Num Lock, 1 Caps Lock, 2 Scroll Lock. Raises
    {!Soil.exception-Error} with [Unsupported] if the device doesn't have the LED, [Io] or [Closed].
*)

(** {1 Events} *)

(** The type for kinds of events. *)
type what =
  | Key of { code : int; action : [ `Press | `Repeat | `Release ] }
      (** A keyboard key ([KEY_*]) or a pointer button ([BTN_LEFT] is 0x110, then right and middle).
      *)
  | Motion of { dx : int; dy : int }  (** Relative motion of a pointer, to the right and down. *)
  | Position of { x : float; y : float }
      (** The absolute position of a pointer on the shown picture, from 0 (left, upper edge) to 1;
          outside the picture, the nearest edge. *)
  | Wheel of { dx : int; dy : int }
      (** Rotation of a wheel in notches: to the right, and up (away from the user). *)
  | Touch of { finger : int; phase : [ `Begin | `Move | `End ]; x : float; y : float }
      (** A finger on a touch screen; its number is unique until [`End]. *)
  | Lost  (** Events of this device were lost. Its keys count as released, its fingers as lifted. *)
  | Other of { kind : int; code : int; value : int }  (** Another evdev event: type, code, value. *)

type event = {
  time : float;  (** The time of receipt, in seconds of {!Soil.Clock.monotonic}. *)
  device : device;
  what : what;
}
(** The type for events. One movement of a pointer is one event. *)

val next : t -> event
(** [next i] waits for the next event. Events of one device are in order. Events of several devices
    are in order in a process; in an image, events of different devices between two polls are sorted
    by device. One task at a time may wait. Raises {!Soil.exception-Error} with [Closed], with
    [Busy] if another task waits, and with [Io] if no device is left. *)

val is_held : t -> int -> bool
(** [is_held i code] is [true] iff this key of any device is pressed, according to the events
    returned by {!next}. *)

(** {1 Text} *)

(** Keyboard layouts. The tables are generated from xkb-data by libxkbcommon. *)
module Layout : sig
  type t
  (** The type for layouts. *)

  val us : t
  (** [us] is the American layout. *)

  val find : string -> t option
  (** [find name] is the layout with this XKB name: [find "de"], [find "us:intl"]. *)

  val names : string list
  (** [names] is the names of all layouts. *)
end

(** From keys to characters: Shift, AltGr, Caps Lock, Num Lock, and dead keys. *)
module Typing : sig
  type input := t

  type t
  (** The type for keyboard states. *)

  val create : Layout.t -> t
  (** [create layout] is a state without held keys, and with Num Lock on. *)

  val feed : t -> event -> string
  (** [feed t event] is the text that the event types, in UTF-8, and [""] for most events. Keys with
      Ctrl, Alt or Super type nothing, and neither do Enter, Tab and Backspace. A dead key that
      doesn't combine with the next key types both. Feed every event of {!next}. *)

  val caps_lock : t -> bool
  (** [caps_lock t] is [true] iff Caps Lock is on. *)

  val num_lock : t -> bool
  (** [num_lock t] is [true] iff Num Lock is on. *)

  val show_locks : t -> input -> unit
  (** [show_locks t i] sets the LEDs of all keyboards that have them. *)
end
