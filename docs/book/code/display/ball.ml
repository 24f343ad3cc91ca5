let radius = 20

(* The ball with room for its smooth edge. *)
let around (x, y) : Soil_display.rectangle =
  let r = radius + 1 in
  { x = x - r; y = y - r; width = 2 * r; height = 2 * r }

let draw p colour (x, y) =
  let x = float_of_int x and y = float_of_int y in
  Soil_draw.fill p colour (Soil_draw.circle ~x ~y (float_of_int radius))

let wipe p ({ x; y; width; height } : Soil_display.rectangle) =
  Soil_draw.rectangle p 0x101828 ~x ~y ~width ~height

let () =
  Soil.run @@ fun () ->
  Soil_display.with_display @@ fun display ->
  Soil_display.with_frames ~width:640 ~height:480 display @@ fun frames ->
  Soil_draw.clear (Soil_display.pixels frames) 0x101828;
  Soil_display.flip frames;
  let rec go before i =
    if i <= 200 then (
      let here = (2 * i, 240 + int_of_float (100. *. sin (float_of_int i /. 10.))) in
      let p = Soil_display.pixels frames in
      wipe p (around before);
      draw p 0xFFB000 here;
      Soil_display.flip frames ~damage:[ around before; around here ];
      go here (i + 1))
  in
  go (0, 240) 0
