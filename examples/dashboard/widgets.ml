type area = { x : int; y : int; width : int; height : int }

let gap = 12
let card_colour = 0x1B2230
let faint = 0x3A465C
let soft = 0x9AA7BD
let bright = 0xF2F5FA

let split n how a =
  let part length i = (length - ((n - 1) * gap)) / n |> fun size -> (i * (size + gap), size) in
  List.init n @@ fun i ->
  match how with
  | `Columns ->
      let x, width = part a.width i in
      { a with x = a.x + x; width }
  | `Rows ->
      let y, height = part a.height i in
      { a with y = a.y + y; height }

let card p a title =
  let box = Soil_draw.box ~radius:8. ~x:(float_of_int a.x) ~y:(float_of_int a.y) in
  Soil_draw.fill p card_colour (box (float_of_int a.width) (float_of_int a.height));
  Soil_draw.text p ~font:Bold soft ~x:(a.x + gap) ~y:(a.y + gap) title;
  { x = a.x + gap; y = a.y + 36; width = a.width - (2 * gap); height = a.height - 36 - gap }

let centred p ?font ?scale colour a text ~y =
  let width, _ = Soil_draw.text_size ?font ?scale text in
  Soil_draw.text p ?font ?scale colour ~x:(a.x + ((a.width - width) / 2)) ~y text

let gauge p a ~colour ~share label =
  let x = float_of_int a.x +. (float_of_int a.width /. 2.) in
  let radius =
    Float.max 20. (Float.min (float_of_int a.width /. 2.) (float_of_int a.height *. 0.55) -. 8.)
  in
  let y = float_of_int a.y +. radius +. 8. in
  let whole = 1.5 *. Float.pi and start = 0.75 *. Float.pi in
  let arc length = Soil_draw.arc ~x ~y ~radius start length in
  Soil_draw.stroke ~width:12. p faint (arc whole);
  let share = Float.max 0. (Float.min 1. share) in
  if share > 0. then Soil_draw.stroke ~width:12. p colour (arc (whole *. share));
  centred p ~font:Large bright a (Printf.sprintf "%.0f %%" (share *. 100.)) ~y:(int_of_float y - 10);
  centred p soft a label ~y:(a.y + a.height - 13)

let number p a text =
  let scale = Int.max 1 (Int.min 4 (a.height / 30)) in
  let _, height = Soil_draw.text_size ~font:Large ~scale text in
  centred p ~font:Large ~scale bright a text ~y:(a.y + ((a.height - height) / 2))

let chart p a series =
  let most =
    List.fold_left (fun most (_, _, values) -> List.fold_left Float.max most values) 1. series
  in
  let line y = Soil_draw.rectangle p faint ~x:a.x ~y ~width:a.width ~height:1 in
  List.iter (fun n -> line (a.y + 16 + (n * (a.height - 17) / 3))) [ 0; 1; 2; 3 ];
  let draw n (colour, name, values) =
    let step = float_of_int a.width /. float_of_int (Int.max 1 (List.length values - 1)) in
    let point i value =
      let height = float_of_int (a.height - 18) in
      ( float_of_int a.x +. (float_of_int i *. step),
        float_of_int (a.y + a.height - 1) -. (value /. most *. height) )
    in
    Soil_draw.stroke ~width:2. p colour (Soil_draw.lines (List.mapi point values));
    let last = List.fold_left (fun _ value -> value) 0. values in
    Soil_draw.text p colour
      ~x:(a.x + (n * a.width / 2))
      ~y:a.y
      (Printf.sprintf "%s %.0f/s" name last)
  in
  List.iteri draw series
