(* A plant is its shoots: each grows by a short piece in every step, and branches now and then. What
   has grown is only in the picture. *)

type shoot = {
  mutable x : float;
  mutable y : float;
  mutable angle : float;
  mutable width : float;
  mutable left : int; (* Pieces until it ends. *)
}

type kind = { stem : int; leaf : int; flower : int; bend : float; branch : float }

let kinds =
  [|
    { stem = 0x3C6E2F; leaf = 0x5FA046; flower = 0xE8577E; bend = 0.10; branch = 0.05 };
    { stem = 0x5B4A2E; leaf = 0x7DB04F; flower = 0xF2C14E; bend = 0.22; branch = 0.09 };
    { stem = 0x2F6B5A; leaf = 0x3F9C84; flower = 0xB98CE0; bend = 0.06; branch = 0.07 };
  |]

type plant = { kind : kind; mutable shoots : shoot list }

type t = {
  picture : Soil_draw.pixels;
  ground : int;
  random : Random.State.t;
  mutable all : plant list;
}

(* Plants at a time, which bounds the cost of a step. *)
let most = 24
let piece = 3.

let create ~width ~height =
  let picture = Soil_draw.create ~width ~height in
  let ground = height * 7 / 8 in
  Soil_draw.rectangle picture 0x4A3524 ~x:0 ~y:ground ~width ~height:(height - ground);
  Soil_draw.rectangle picture 0x5E7A3A ~x:0 ~y:ground ~width ~height:4;
  { picture; ground; random = Random.State.make [| 7 |]; all = [] }

let ground g = g.ground
let plants g = List.length g.all
let picture g = g.picture
let between g low high = low +. Random.State.float g.random (high -. low)

let sow g ~x =
  let kind = kinds.(Random.State.int g.random (Array.length kinds)) in
  let shoot =
    {
      x = float_of_int x;
      y = float_of_int g.ground;
      angle = -.Float.pi /. 2.;
      width = between g 4. 7.;
      left = 40 + Random.State.int g.random 40;
    }
  in
  g.all <- List.filteri (fun n _ -> n < most) ({ kind; shoots = [ shoot ] } :: g.all)

let disc g colour shoot radius =
  Soil_draw.fill g.picture colour (Soil_draw.circle ~x:shoot.x ~y:shoot.y radius)

let bloom g kind shoot =
  disc g kind.flower shoot (between g 3. 5.);
  disc g 0xFFF3C4 shoot 1.5

(* The piece's end, and the shoots that go on from there. *)
let step g kind shoot =
  let x = shoot.x +. (piece *. cos shoot.angle) and y = shoot.y +. (piece *. sin shoot.angle) in
  let line = Soil_draw.lines [ (shoot.x, shoot.y); (x, y) ] in
  Soil_draw.stroke ~width:shoot.width g.picture kind.stem line;
  shoot.x <- x;
  shoot.y <- y;
  (* Upwards, but for a whim. *)
  let upright = (-.Float.pi /. 2.) -. shoot.angle in
  shoot.angle <- shoot.angle +. between g (-.kind.bend) kind.bend +. (0.04 *. upright);
  shoot.width <- Float.max 1. (shoot.width *. 0.985);
  shoot.left <- shoot.left - 1;
  if Random.State.float g.random 1. < 0.12 then disc g kind.leaf shoot (between g 1.5 3.);
  if shoot.left <= 0 || y < 20. then (
    bloom g kind shoot;
    [])
  else if Random.State.float g.random 1. < kind.branch && shoot.left > 8 then
    let side = if Random.State.bool g.random then 1. else -1. in
    let angle = shoot.angle +. (side *. between g 0.4 0.8) in
    let twig = { shoot with angle; width = shoot.width *. 0.7; left = shoot.left * 2 / 3 } in
    [ shoot; twig ]
  else [ shoot ]

let grow g =
  List.iter (fun plant -> plant.shoots <- List.concat_map (step g plant.kind) plant.shoots) g.all
