(* A living picture. Plants grow, day and night follow the clock, each packet of the network is a
   drop of rain, and a click plants a seed. http://…/ tells how it is. *)

module Server = Soil_http.Server

let screen = Soil.Needs.display "screen" ~doc:"the garden"
let () = Soil.Needs.input ()
let width = 640
let height = 480
let frame = 1. /. 60.

(* The left button, and the space bar, of evdev. *)
let button = 0x110
let space = 57

(* Frames per growth of plants, and rows of the scene that are painted again in each frame, as the
   light changes slowly. *)
let frames_per_step = 4
let rows_per_frame = 16

type world = {
  garden : Garden.t;
  rain : Rain.t;
  scene : Soil_draw.pixels; (* Sky and plants as they are seen. *)
  hour : unit -> float; (* The time of its day, from 0 to 24. *)
  mutable shown : int; (* Frames. *)
  mutable late : int; (* Those that came after their time. *)
}

(* By the clock, or of a day of so many seconds that begins now at this hour. *)
let hour_of_day = function
  | None -> fun () -> Float.rem (Soil.Clock.now ()) 86400. /. 3600.
  | Some (seconds, hour) ->
      let start = Soil.Clock.monotonic () in
      fun () -> Float.rem (hour +. ((Soil.Clock.monotonic () -. start) /. seconds *. 24.)) 24.

let paint world ~first ~rows =
  let plants = Garden.picture world.garden in
  Sky.paint ~into:world.scene ~plants ~hour:(world.hour ()) ~first ~rows

let draw world frames =
  let p = Soil_display.pixels frames in
  let first = world.shown * rows_per_frame mod height in
  paint world ~first ~rows:rows_per_frame;
  if world.shown mod frames_per_step = 0 then Garden.grow world.garden;
  Soil_draw.copy p ~x:0 ~y:0 world.scene;
  Sky.lamp p ~hour:(world.hour ());
  Rain.fall world.rain p ~ground:(Garden.ground world.garden);
  Soil_display.flip frames;
  world.shown <- world.shown + 1

(* At the times of a clock, not after each other: a late frame delays no other. *)
let animate world frames =
  let rec go due =
    draw world frames;
    let now = Soil.Clock.monotonic () in
    let due = due +. frame in
    if now < due then (
      Soil.Clock.sleep_until due;
      go due)
    else (
      world.late <- world.late + 1;
      Soil.Task.yield ();
      go now)
  in
  go (Soil.Clock.monotonic ())

let sow_by_hand world =
  Soil_input.with_devices @@ fun input ->
  let x = ref (width / 2) in
  let rec go () =
    (match (Soil_input.next input).what with
    | Position { x = at; _ } -> x := int_of_float (at *. float_of_int width)
    | Motion { dx; _ } -> x := Int.max 0 (Int.min (width - 1) (!x + dx))
    | Key { code; action = `Press } when code = button -> Garden.sow world.garden ~x:!x
    | Key { code; action = `Press } when code = space ->
        Garden.sow world.garden ~x:(Random.int width)
    | _ -> ());
    go ()
  in
  go ()

let report world ~started =
  let seconds = Soil.Clock.monotonic () -. started in
  Printf.sprintf "plants %d\npackets %d\nframes %d\nlate %d\nframes_per_second %.1f\nhour %.1f\n"
    (Garden.plants world.garden) (Rain.packets world.rain) world.shown world.late
    (float_of_int world.shown /. seconds)
    (world.hour ())

let serve world =
  let started = Soil.Clock.monotonic () in
  let listener = Soil.Tcp.listen ~port:80 () in
  print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  Server.serve listener @@ fun request ->
  match (Server.meth request, Server.path request) with
  | `GET, "/" -> Server.string (report world ~started)
  | `POST, "/seed" ->
      Garden.sow world.garden ~x:(Random.int width);
      Server.string "planted\n"
  | _ -> Server.status `Not_found

(* A machine may have no keyboard and no network: the picture lives all the same. *)
let if_there what f =
  try f () with Soil.Error { code = No_device; _ } -> print_endline ("without " ^ what)

let day () =
  let number text ~least ~most =
    match float_of_string_opt text with
    | Some n when n >= least && n <= most -> n
    | _ ->
        prerr_endline "usage: main.exe [SECONDS OF A DAY, FROM 1] [HOUR AT THE START, 0 TO 24]";
        exit 2
  in
  match List.tl (Array.to_list Sys.argv) with
  | [] -> None
  | seconds :: rest ->
      let hour = match rest with [] -> "6" | hour :: _ -> hour in
      Some (number seconds ~least:1. ~most:1e9, number hour ~least:0. ~most:24.)

let () =
  let day = day () in
  Soil.run @@ fun () ->
  Soil_display.with_display ~name:screen @@ fun display ->
  Soil_display.with_frames ~width ~height ~keep:false display @@ fun frames ->
  let garden = Garden.create ~width ~height in
  let scene = Soil_draw.create ~width ~height in
  let world =
    { garden; rain = Rain.create (); scene; hour = hour_of_day day; shown = 0; late = 0 }
  in
  List.iter (fun x -> Garden.sow garden ~x:(width * x / 8)) [ 1; 3; 4; 6; 7 ];
  paint world ~first:0 ~rows:height;
  Soil.Task.scope @@ fun scope ->
  let beside what f = ignore (Soil.Task.spawn_daemon scope (fun () -> if_there what f)) in
  beside "a keyboard" (fun () -> sow_by_hand world);
  beside "a network" (fun () -> serve world);
  animate world frames
