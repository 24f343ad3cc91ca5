let paper = 0xFFF8E7
let ink = 0x1F3A5F

(* Places are from 0 to 1, so that they fit every size. *)
type place = float * float

type pad = {
  typing : Soil_input.Typing.t;
  mutable lines : (place * place) list;
  mutable pen : place;
  mutable is_down : bool;
  mutable text : string;
}

type view = { frames : Soil_display.frames; width : int; height : int }

(* Draws a line, and is where that has changed the picture. *)
let draw_line view (from, until) : Soil_display.rectangle =
  let on_screen (x, y) = (x *. float_of_int view.width, y *. float_of_int view.height) in
  let x1, y1 = on_screen from and x2, y2 = on_screen until in
  let shape = Soil_draw.lines [ (x1, y1); (x2, y2) ] in
  Soil_draw.stroke ~width:4. (Soil_display.pixels view.frames) ink shape;
  let start a b = int_of_float (Float.min a b) - 3 in
  let length a b = int_of_float (Float.abs (a -. b)) + 7 in
  { x = start x1 x2; y = start y1 y2; width = length x1 x2; height = length y1 y2 }

let draw_text view text : Soil_display.rectangle =
  let y = view.height - 30 and width = view.width and height = 30 in
  let p = Soil_display.pixels view.frames in
  Soil_draw.rectangle p 0xE8DCC0 ~x:0 ~y ~width ~height;
  Soil_draw.text p ~font:Large ink ~x:10 ~y:(y + 5) text;
  { x = 0; y; width; height }

let draw_all view pad =
  Soil_draw.clear (Soil_display.pixels view.frames) paper;
  List.iter (fun line -> ignore (draw_line view line)) pad.lines;
  ignore (draw_text view pad.text);
  Soil_display.flip view.frames
