type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array2.t

let create ~width ~height =
  let pixels = Bigarray.(Array2.create int32 c_layout height width) in
  Bigarray.Array2.fill pixels 0l;
  pixels

let is_empty pixels = Bigarray.Array2.(dim1 pixels = 0 || dim2 pixels = 0)

(* A picture without pixels is as it should be after every call. *)
let draw pixels call =
  if not (is_empty pixels) then
    match call () with
    | -1 -> invalid_arg "Soil_draw: a picture with a side of more than 32767 pixels"
    | result -> ignore (Soil.Private.check ~operation:"draw" ~subject:"" result)

let colour_of ?(alpha = 1.) colour =
  let opacity = if alpha > 0. then int_of_float ((Float.min alpha 1. *. 255.) +. 0.5) else 0 in
  (opacity lsl 24) lor (colour land 0xFFFFFF)

let rectangle ?alpha pixels colour ~x ~y ~width ~height =
  draw pixels @@ fun () -> Soil_raw_draw.draw_fill pixels x y width height (colour_of ?alpha colour)

let clear pixels colour = Bigarray.Array2.fill pixels (Int32.of_int (colour land 0xFFFFFF))

let copy pixels ~x ~y from =
  if not (is_empty from) then (
    draw pixels @@ fun () ->
    let copied = Soil_raw_draw.draw_copy pixels x y from in
    if copied < 0 && Bigarray.Array2.(dim1 pixels < 32768 && dim2 pixels < 32768) then
      invalid_arg "Soil_draw.copy: both pictures have memory in common";
    copied)

type step =
  | Move of float * float
  | Line of float * float
  | Quadratic of (float * float) * (float * float)
  | Cubic of (float * float) * (float * float) * (float * float)
  | Close

type shape = step list

let polygon = function
  | [] -> []
  | (x, y) :: rest -> (Move (x, y) :: List.map (fun (x, y) -> Line (x, y)) rest) @ [ Close ]

let lines = function
  | [] -> []
  | (x, y) :: rest -> Move (x, y) :: List.map (fun (x, y) -> Line (x, y)) rest

(* How far the control points are from the ends, for a curve that is a part of a circle of radius 1,
   to 1 of 2000 of the radius at a quarter. *)
let control angle = 4. /. 3. *. Float.tan (angle /. 4.)
let turn = 2. *. Float.pi

(* The curves of a part of an ellipse, each at most a quarter. *)
let curves ~x ~y a b start length =
  let length = Float.max (-.turn) (Float.min turn length) in
  let count = Int.max 1 (int_of_float (Float.ceil ((Float.abs length /. (turn /. 4.)) -. 1e-6))) in
  let angle = length /. float_of_int count in
  let k = control angle in
  let place angle = (x +. (a *. Float.cos angle), y +. (b *. Float.sin angle)) in
  let beside angle k =
    let px, py = place angle in
    (px -. (k *. a *. Float.sin angle), py +. (k *. b *. Float.cos angle))
  in
  let curve n =
    let first = start +. (float_of_int n *. angle) in
    let last = first +. angle in
    Cubic (beside first k, beside last (-.k), place last)
  in
  (place start, List.init count curve)

let ellipse ~x ~y a b =
  let (x0, y0), curves = curves ~x ~y a b 0. turn in
  (Move (x0, y0) :: curves) @ [ Close ]

let circle ~x ~y radius = ellipse ~x ~y radius radius

let arc ~x ~y ~radius start length =
  let (x0, y0), curves = curves ~x ~y radius radius start length in
  Move (x0, y0) :: curves

let box ?(radius = 0.) ~x ~y width height =
  let r = Float.min radius (Float.min width height /. 2.) in
  if not (r > 0.) then
    polygon [ (x, y); (x +. width, y); (x +. width, y +. height); (x, y +. height) ]
  else
    let right = x +. width and lower = y +. height in
    let corner n ~x ~y =
      let (x0, y0), curves = curves ~x ~y r r (float_of_int n *. turn /. 4.) (turn /. 4.) in
      Line (x0, y0) :: curves
    in
    let corners =
      corner 0 ~x:(right -. r) ~y:(lower -. r)
      @ corner 1 ~x:(x +. r) ~y:(lower -. r)
      @ corner 2 ~x:(x +. r) ~y:(y +. r)
      @ corner 3 ~x:(right -. r) ~y:(y +. r)
    in
    (Move (right, y +. r) :: corners) @ [ Close ]

(* In 1024ths of a pixel; what is far outside, or no number, is somewhere outside. *)
let fixed place =
  let place = if Float.is_nan place then -1e6 else Float.max (-1e6) (Float.min 1e6 place) in
  int_of_float (place *. 1024.)

(* The numbers that Rust reads. *)
let encoded shape =
  let words = function Move _ | Line _ -> 3 | Quadratic _ -> 5 | Cubic _ -> 7 | Close -> 1 in
  let length = List.fold_left (fun sum step -> sum + words step) 0 shape in
  let into = Bigarray.(Array1.create int c_layout length) in
  let used = ref 0 in
  let add n =
    into.{!used} <- n;
    incr used
  in
  let step code points =
    add code;
    List.iter
      (fun (x, y) ->
        add (fixed x);
        add (fixed y))
      points
  in
  let encode = function
    | Move (x, y) -> step 0 [ (x, y) ]
    | Line (x, y) -> step 1 [ (x, y) ]
    | Quadratic (a, b) -> step 2 [ a; b ]
    | Cubic (a, b, c) -> step 3 [ a; b; c ]
    | Close -> step 4 []
  in
  List.iter encode shape;
  into

let path ?alpha pixels colour shape ~how ~width =
  let commands = encoded shape in
  draw pixels @@ fun () ->
  Soil_raw_draw.draw_path pixels commands (Bigarray.Array1.dim commands) how (fixed width)
    (colour_of ?alpha colour)

let fill ?alpha ?(even_odd = false) pixels colour shape =
  path ?alpha pixels colour shape ~how:(Bool.to_int even_odd) ~width:0.

let stroke ?alpha ?(round = true) ?(width = 1.) pixels colour shape =
  path ?alpha pixels colour shape ~how:(2 + Bool.to_int round) ~width

type font = Small | Medium | Bold | Large

let code = function Small -> 0 | Medium -> 1 | Bold -> 2 | Large -> 3
let cell = function Small -> (6, 10) | Medium | Bold -> (8, 13) | Large -> (10, 20)

(* With U+FFFD for what isn't UTF-8, which no font has. *)
let readable text =
  if String.is_valid_utf_8 text then text
  else
    let into = Buffer.create (String.length text) in
    let rec go at =
      if at < String.length text then (
        let decoded = String.get_utf_8_uchar text at in
        Buffer.add_utf_8_uchar into (Uchar.utf_decode_uchar decoded);
        go (at + Uchar.utf_decode_length decoded))
    in
    go 0;
    Buffer.contents into

let text ?alpha ?(font = Medium) ?(scale = 1) pixels colour ~x ~y text =
  draw pixels @@ fun () ->
  Soil_raw_draw.draw_text pixels x y (readable text) (code font) scale (colour_of ?alpha colour)

let characters line =
  let rec go count at =
    if at >= String.length line then count
    else go (count + 1) (at + Uchar.utf_decode_length (String.get_utf_8_uchar line at))
  in
  go 0 0

let text_size ?(font = Medium) ?(scale = 1) text =
  let width, height = cell font in
  let lines = String.split_on_char '\n' text in
  let longest = List.fold_left (fun most line -> Int.max most (characters line)) 0 lines in
  (longest * width * scale, List.length lines * height * scale)
