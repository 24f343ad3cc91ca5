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

    An image has the machine's virtio-input devices. A process has a keyboard without lights, and a
    pointer for each of its windows, named after its display ([pointer of display1]).
    [soil run --display window] gives both, [--display vnc=:N] those of an image's VNC server. The
    codes are those of Linux's evdev in both forms ([input-event-codes.h]).

    {b Waiting.} {!next} waits for an event; other tasks run meanwhile. Events that aren't taken in
    time are kept, up to some thousands; then {!Lost} tells that some are missing. A device that is
    gone, or breaks the protocol of devices, tells {!Lost} and nothing more. After the last one has,
    waits raise {!Soil.exception-Error} with [Io]. A wait can be cancelled at any time, and loses
    nothing. *)

(** {1 Devices} *)

type axis = {
  axis : int;  (** Code, [ABS_*]. *)
  minimum : int;
  maximum : int;
  fuzz : int;  (** Changes up to this are noise. *)
  flat : int;  (** Values up to this from the middle count as the middle. *)
  resolution : int;  (** Units in a millimetre; 0 if not known. *)
}
(** The type for axes with positions. *)

type device = {
  number : int;  (** From 0. *)
  name : string;
  serial : string;
  ids : int list;  (** Bus, vendor, product, version. *)
  properties : int list;  (** [INPUT_PROP_*]. *)
  keys : int list;  (** Keys and buttons that it has, [KEY_*] and [BTN_*]. *)
  relative : int list;  (** Axes with movements, and wheels, [REL_*]. *)
  absolute : axis list;
  switches : int list;  (** [SW_*]. *)
  leds : int list;  (** Lights, [LED_*]. *)
  repeats : bool;  (** Whether keys that are held are repeated. *)
}
(** The type for devices. *)

type t
(** The type for the open devices of a program: all that the machine has. *)

val open_ : ?repeat:(float * float) option -> unit -> t
(** [open_ ()] opens the devices. A key that is held repeats after the first number of seconds of
    [repeat], each time the second number is over (default: [Some (0.4, 0.033)]); [None]: never. A
    program that is slower gets fewer repetitions. Raises {!Soil.exception-Error} with [No_device],
    whose detail names the option of [soil run], with [Busy] if they are open, or with
    [Bad_configuration]. Raises [Invalid_argument] if a number isn't between [0.001] and [3600.].
    The first call of a process blocks all tasks for up to ten seconds, until its window has said
    what there is; if that says nothing, it raises {!Soil.exception-Error} with [Io]. *)

val close : t -> unit
(** [close i] closes the devices. Closing again does nothing. *)

val with_devices : ?repeat:(float * float) option -> (t -> 'a) -> 'a
(** [with_devices f] is [f i] for the opened devices, closed when that returns or raises. *)

val devices : t -> device list
(** [devices i] is the devices. *)

val set_led : t -> device -> int -> bool -> unit
(** [set_led i d led on] switches a light: 0 is Num Lock's, 1 Caps Lock's, 2 Scroll Lock's. Raises
    {!Soil.exception-Error} with [Unsupported] if the device has no such light, [Io] or [Closed]. *)

(** {1 Events} *)

(** The type for what happened. *)
type what =
  | Key of { code : int; action : [ `Press | `Repeat | `Release ] }
      (** A key of a keyboard ([KEY_*]) or a button of a pointer ([BTN_LEFT] is 0x110, then right
          and middle). *)
  | Motion of { dx : int; dy : int }  (** A pointer moved, to the right and down. *)
  | Position of { x : float; y : float }
      (** A pointer is at this place of the picture that is shown, from 0 (left, upper edge) to 1;
          beside the picture, at its edge. *)
  | Wheel of { dx : int; dy : int }
      (** A wheel turned, in notches: to the right, and up (away from the user). *)
  | Touch of { finger : int; phase : [ `Begin | `Move | `End ]; x : float; y : float }
      (** A finger on a touch screen; the number is its own until [`End]. *)
  | Lost
      (** Events of this device are missing. Its keys count as released, its fingers as lifted. *)
  | Other of { kind : int; code : int; value : int }
      (** Another event of evdev: type, code, value. *)

type event = {
  time : float;  (** When it was received, in seconds of {!Soil.Clock.monotonic}'s clock. *)
  device : device;
  what : what;
}
(** The type for events. Those of one movement of a pointer are one event. *)

val next : t -> event
(** [next i] waits for the next event. Events of one device come in their order. Those of several
    devices come in the order in which they were made in a process; in an image, of what two devices
    sent between two looks at them the first device's comes first. One task at a time may wait.
    Raises {!Soil.exception-Error} with [Closed], with [Busy] if another task waits, and with [Io]
    if no device is left. *)

val is_held : t -> int -> bool
(** [is_held i code] is [true] iff this key of any device is pressed, by the events that {!next} has
    returned. *)

(** {1 Text} *)

(** What the keys type. The tables are those of xkb-data, made by libxkbcommon. *)
module Layout : sig
  type t
  (** The type for layouts. *)

  val us : t
  (** [us] is the American layout. *)

  val find : string -> t option
  (** [find name] is the layout of that name, as of XKB: [find "de"], [find "us:intl"]. *)

  val names : string list
  (** [names] is all of them. *)
end

(** From keys to characters: Shift, AltGr, Caps Lock, Num Lock, and dead keys. *)
module Typing : sig
  type input := t

  type t
  (** The type for keyboards' states. *)

  val create : Layout.t -> t
  (** [create layout] is a state with no key held, and Num Lock on. *)

  val feed : t -> event -> string
  (** [feed t event] is the text that the event types, in UTF-8, and [""] for most events. Keys with
      Ctrl, Alt or Super type nothing, nor do Enter, Tab and Backspace: they are keys. A dead key
      that doesn't go with what follows types both. Every event of {!next} has to be fed. *)

  val caps_lock : t -> bool
  (** [caps_lock t] is [true] iff Caps Lock is on. *)

  val num_lock : t -> bool
  (** [num_lock t] is [true] iff Num Lock is on. *)

  val show_locks : t -> input -> unit
  (** [show_locks t i] sets the lights of all keyboards that have them. *)
end
