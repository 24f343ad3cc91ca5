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
    ([Soil_display.pixels]). Shapes are anti-aliased. The processor draws synchronously; nothing
    waits. The functions can be called in every thread and, except {!fill} and {!stroke}, in every
    domain.

    {b Coordinates} are in pixels from the upper left corner: [int]s for whole pixels, [float]s for
    positions between them, with the centre of the first pixel at (0.5, 0.5). Drawing is clipped to
    the picture; [nan] is a coordinate far to the left or above.

    {b Colours} are [0xRRGGBB]. [alpha] is the opacity: from [0.], invisible, to [1.] (the default).

    {b Errors.} Drawing functions, except {!clear}, raise [Invalid_argument] if the picture has a
    side of more than 32767 pixels; {!fill} and {!stroke} also in a domain other than that of
    {!Soil.run}. *)

type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t
(** The type for pictures: rows from top to bottom, pixels from left to right, [0xXXRRGGBB]. *)

val create : width:int -> height:int -> pixels
(** [create ~width ~height] is a black picture. *)

(** {1 Whole pixels} *)

val clear : pixels -> int -> unit
(** [clear p colour] paints all of [p]. *)

val rectangle : ?alpha:float -> pixels -> int -> x:int -> y:int -> width:int -> height:int -> unit
(** [rectangle p colour ~x ~y ~width ~height] paints whole pixels. It is much faster than the
    {!fill} of a shape. *)

val copy : pixels -> x:int -> y:int -> pixels -> unit
(** [copy p ~x ~y from] copies the picture [from], of any size, with its upper left corner at ([x],
    [y]). Raises [Invalid_argument] if both share memory. *)

(** {1 Shapes} *)

(** The type for steps of an outline. *)
type step =
  | Move of float * float  (** Begins a subpath. *)
  | Line of float * float  (** A straight line. *)
  | Quadratic of (float * float) * (float * float)
      (** A Bézier curve with one control point, to the second point. *)
  | Cubic of (float * float) * (float * float) * (float * float)
      (** A Bézier curve with two control points, to the third point. *)
  | Close  (** A straight line to the beginning of the subpath. *)

type shape = step list
(** The type for outlines. Concatenated shapes ([@]) are one shape. *)

val polygon : (float * float) list -> shape
(** [polygon corners] is a closed polygon. *)

val lines : (float * float) list -> shape
(** [lines points] is straight lines from point to point, for {!stroke}. *)

val box : ?radius:float -> x:float -> y:float -> float -> float -> shape
(** [box ~x ~y width height] is a rectangle, with corners rounded by [radius] (default: 0), at most
    half of the shorter side. *)

val circle : x:float -> y:float -> float -> shape
(** [circle ~x ~y radius] is a circle around ([x], [y]). *)

val ellipse : x:float -> y:float -> float -> float -> shape
(** [ellipse ~x ~y a b] is an ellipse around ([x], [y]) with the radii [a] to the sides and [b] up
    and down. *)

val arc : x:float -> y:float -> radius:float -> float -> float -> shape
(** [arc ~x ~y ~radius start length] is an arc of a circle, in radians: it begins at [start], where
    0 is to the right, and goes clockwise for [length], at most a full circle. *)

val fill : ?alpha:float -> ?even_odd:bool -> pixels -> int -> shape -> unit
(** [fill p colour shape] paints the inside of [shape], by the nonzero rule or, with [even_odd], by
    the even-odd rule. *)

val stroke : ?alpha:float -> ?round:bool -> ?width:float -> pixels -> int -> shape -> unit
(** [stroke p colour shape] paints a line of [width] pixels (default: [1.]) along [shape]. With
    [round] (the default) its caps and joins are round, otherwise butt and mitred. *)

(** {1 Text}

    X11's [misc-fixed] fonts: fixed-width, with the characters of ISO 8859-1. *)

(** The type for fonts. *)
type font =
  | Small  (** 6 by 10 pixels. *)
  | Medium  (** 8 by 13 pixels. *)
  | Bold  (** 8 by 13 pixels. *)
  | Large  (** 10 by 20 pixels. *)

val text :
  ?alpha:float -> ?font:font -> ?scale:int -> pixels -> int -> x:int -> y:int -> string -> unit
(** [text p colour ~x ~y s] draws the UTF-8 text [s] with its upper left corner at ([x], [y]), in
    [font] (default: [Medium]), enlarged by [scale] (default: 1). A line feed begins the next line.
    A character missing in the font is shown as [?], and so is an invalid byte. *)

val text_size : ?font:font -> ?scale:int -> string -> int * int
(** [text_size s] is the width and height of [s] in pixels, with the arguments of {!text}. *)
