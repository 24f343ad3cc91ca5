(** Shapes and text in pictures.

    {[
      (* A sun with a word below it. *)
      let picture = Soil_draw.create ~width:320 ~height:240

      let () =
        Soil_draw.clear picture 0x87CEEB;
        Soil_draw.fill picture 0xFFD700 (Soil_draw.circle ~x:160. ~y:100. 40.);
        Soil_draw.text picture ~font:Large 0x202020 ~x:140 ~y:160 "noon"
    ]}

    A picture is a bigarray of pixels: the program's own, as here, or the memory of a display
    ([Soil_display.pixels]). Shapes have smooth edges. Everything is drawn at once, by the
    processor; nothing waits. The functions can be called in every thread and, but for {!fill} and
    {!stroke}, in every domain.

    {b Places} are in pixels from the left upper corner: whole pixels are [int]s, places between
    them [float]s, for which the middle of the first pixel is at (0.5, 0.5). What isn't on the
    picture is left out; a place that is no number ([nan]) is far to the left of it, or above.

    {b Colours} are [0xRRGGBB]. [alpha], where a function takes it, says how opaque the colour is:
    from [0.], invisible, to [1.] (the default).

    {b Errors.} Functions that draw in a picture, but for {!clear}, raise [Invalid_argument] if it
    has a side of more than 32767 pixels; {!fill} and {!stroke} also in another domain than that of
    {!Soil.run}. *)

type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t
(** The type for pictures: rows from the top, in them pixels from the left, [0xXXRRGGBB]. *)

val create : width:int -> height:int -> pixels
(** [create ~width ~height] is a black picture. *)

(** {1 Whole pixels} *)

val clear : pixels -> int -> unit
(** [clear p colour] paints all of [p]. *)

val rectangle : ?alpha:float -> pixels -> int -> x:int -> y:int -> width:int -> height:int -> unit
(** [rectangle p colour ~x ~y ~width ~height] paints whole pixels. It is much faster than the
    {!fill} of a shape. *)

val copy : pixels -> x:int -> y:int -> pixels -> unit
(** [copy p ~x ~y from] copies the picture [from], of any size, whose left upper corner comes to
    ([x], [y]). Raises [Invalid_argument] if both have memory in common. *)

(** {1 Shapes} *)

(** The type for steps of an outline. *)
type step =
  | Move of float * float  (** Begins a part of the outline. *)
  | Line of float * float  (** A straight line. *)
  | Quadratic of (float * float) * (float * float)
      (** A Bézier curve by a control point, to the second point. *)
  | Cubic of (float * float) * (float * float) * (float * float)
      (** A Bézier curve by two control points, to the third point. *)
  | Close  (** A straight line to where this part began. *)

type shape = step list
(** The type for outlines. Shapes after each other ([@]) are one shape. *)

val polygon : (float * float) list -> shape
(** [polygon corners] is closed. *)

val lines : (float * float) list -> shape
(** [lines points] is straight lines from point to point, to {!stroke}. *)

val box : ?radius:float -> x:float -> y:float -> float -> float -> shape
(** [box ~x ~y width height] is a rectangle, whose corners are round with a [radius] (default: 0),
    at most half of the shorter side. *)

val circle : x:float -> y:float -> float -> shape
(** [circle ~x ~y radius] is a circle around ([x], [y]). *)

val ellipse : x:float -> y:float -> float -> float -> shape
(** [ellipse ~x ~y a b] reaches [a] pixels to both sides of ([x], [y]), and [b] up and down. *)

val arc : x:float -> y:float -> radius:float -> float -> float -> shape
(** [arc ~x ~y ~radius start length] is a part of a circle, in radians: it begins at [start], where
    0 is to the right, and goes clockwise for [length], at most a whole turn. *)

val fill : ?alpha:float -> ?even_odd:bool -> pixels -> int -> shape -> unit
(** [fill p colour shape] paints what [shape] encloses; with [even_odd] what it encloses an odd
    number of times. *)

val stroke : ?alpha:float -> ?round:bool -> ?width:float -> pixels -> int -> shape -> unit
(** [stroke p colour shape] paints a line of [width] pixels (default: [1.]) along [shape]. With
    [round] (the default) its ends and corners are round, otherwise ends are cut off and corners
    pointed. *)

(** {1 Text}

    In fonts with fixed widths and the characters of ISO 8859-1, those of X11's [misc-fixed]. *)

(** The type for fonts. *)
type font =
  | Small  (** 6 by 10 pixels. *)
  | Medium  (** 8 by 13 pixels. *)
  | Bold  (** 8 by 13 pixels. *)
  | Large  (** 10 by 20 pixels. *)

val text :
  ?alpha:float -> ?font:font -> ?scale:int -> pixels -> int -> x:int -> y:int -> string -> unit
(** [text p colour ~x ~y s] sets the UTF-8 text [s] from its left upper corner on, in [font]
    (default: [Medium]), each of whose pixels is a square of [scale] pixels (default: 1). A line
    feed begins the next line. A character that the font hasn't is shown as [?], and so is a byte
    that isn't UTF-8. *)

val text_size : ?font:font -> ?scale:int -> string -> int * int
(** [text_size s] is the width and height of [s] in pixels, with the arguments of {!text}. *)
