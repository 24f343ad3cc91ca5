let light hour =
  let noon = cos ((hour -. 12.) /. 12. *. Float.pi) in
  Float.min 1. (Float.max 0. ((noon *. 1.6) +. 0.5))

(* Part [n] of 256 between two colours. *)
let mix a b n =
  let part shift =
    let a = (a lsr shift) land 255 and b = (b lsr shift) land 255 in
    (a + ((b - a) * n / 256)) lsl shift
  in
  part 16 lor part 8 lor part 0

(* The colour of a row: darker above, and warm near the ground while the sun is low. *)
let colour ~light ~row ~rows =
  let n = int_of_float (light *. 256.) and down = row * 256 / rows in
  let day = mix 0x3F7FC4 0xBFE3F2 down and night = mix 0x05070F 0x1B2440 down in
  let low = 4. *. light *. (1. -. light) in
  mix (mix night day n) 0xE8935A (int_of_float (low *. float_of_int down *. 0.8))

let paint ~into ~plants ~hour ~first ~rows =
  let height = Bigarray.Array2.dim1 into and width = Bigarray.Array2.dim2 into in
  let light = light hour in
  let shade = 130 + int_of_float (light *. 126.) in
  for y = first to Int.min height (first + rows) - 1 do
    let sky = Int32.of_int (colour ~light ~row:y ~rows:height) in
    for x = 0 to width - 1 do
      let plant = Int32.to_int (Bigarray.Array2.unsafe_get plants y x) land 0xFFFFFF in
      let seen =
        if plant = 0 then sky
        else
          (* Red and blue at once: they have room between them. *)
          let red_blue = ((plant land 0xFF00FF * shade) lsr 8) land 0xFF00FF in
          let green = ((plant land 0x00FF00 * shade) lsr 8) land 0x00FF00 in
          Int32.of_int (red_blue lor green)
      in
      Bigarray.Array2.unsafe_set into y x seen
    done
  done

(* From the left at 6 to the right at 18, the sun; and again for the moon. *)
let lamp p ~hour =
  let width = float_of_int (Bigarray.Array2.dim2 p) in
  let height = float_of_int (Bigarray.Array2.dim1 p) in
  let is_day = hour >= 6. && hour < 18. in
  let way = Float.rem (hour +. 18.) 12. /. 12. in
  let x = width *. way and y = height *. (0.65 -. (0.5 *. sin (way *. Float.pi))) in
  if is_day then (
    Soil_draw.fill ~alpha:0.3 p 0xFFF2B0 (Soil_draw.circle ~x ~y 30.);
    Soil_draw.fill p 0xFFE27A (Soil_draw.circle ~x ~y 20.))
  else Soil_draw.fill p 0xD8DCE8 (Soil_draw.circle ~x ~y 14.)
