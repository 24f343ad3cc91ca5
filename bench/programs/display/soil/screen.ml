type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array1.t

(* A buffer, its memory as one row, and its last picture. *)
type half = {
  buffer : Soil_display.buffer;
  pixels : pixels;
  mutable shown : Soil_display.shown option;
}

type t = { front : half; back : half; mutable drawn : half; width : int; input : Soil_input.t }

let half display ~width ~height =
  let buffer = Soil_display.buffer display ~width ~height in
  let memory = Soil_display.memory buffer in
  if Bigarray.Array2.dim2 memory <> width then failwith "rows with gaps";
  let pixels = Bigarray.(reshape_1 (genarray_of_array2 memory) (width * height)) in
  { buffer; pixels; shown = None }

let run ~width ~height f =
  Soil.run @@ fun () ->
  Soil_display.with_display @@ fun display ->
  let front = half display ~width ~height and back = half display ~width ~height in
  f { front; back; drawn = back; width; input = Soil_input.open_ () }

let pixels d = d.drawn.pixels

let wait half =
  Option.iter Soil_display.wait half.shown;
  half.shown <- None

let turn d = d.drawn <- (if d.drawn == d.back then d.front else d.back)

let flush d ~y ~rows =
  let damage = [ { Soil_display.x = 0; y; width = d.width; height = rows } ] in
  d.drawn.shown <- Some (Soil_display.present ~damage d.drawn.buffer);
  turn d;
  wait d.drawn

let drain d =
  wait d.front;
  wait d.back

let rec key d =
  match (Soil_input.next d.input).what with Key { action = `Press; _ } -> () | _ -> key d
