open Page

let screen = Soil.Needs.display "screen" ~doc:"the page"
let () = Soil.Needs.input ()
let escape = 1
let left = 0x110

let handle view pad (event : Soil_input.event) =
  let typed = Soil_input.Typing.feed pad.typing event in
  if typed <> "" then (
    pad.text <- pad.text ^ typed;
    Soil_display.flip view.frames ~damage:[ draw_text view pad.text ]);
  match event.what with
  | Key { code; action } when code = left -> pad.is_down <- action <> `Release
  | Position { x; y } ->
      let line = (pad.pen, (x, y)) in
      pad.pen <- (x, y);
      if pad.is_down then (
        pad.lines <- line :: pad.lines;
        Soil_display.flip view.frames ~damage:[ draw_line view line ])
  | _ -> ()

let rec until_escape view pad input =
  match Soil_input.next input with
  | { what = Key { code; action = `Press }; _ } when code = escape -> ()
  | event ->
      handle view pad event;
      until_escape view pad input

let rec run display input pad =
  let draw frames =
    let width, height = Soil_display.size frames in
    let view = { frames; width; height } in
    draw_all view pad;
    Printf.printf "a page of %d by %d\n%!" width height;
    until_escape view pad input;
    `End
  in
  let resized () =
    ignore (Soil_display.await_change display);
    `Resized
  in
  let ended =
    Soil_display.with_frames display @@ fun frames ->
    Soil.Task.first [ (fun () -> draw frames); resized ]
  in
  match ended with `End -> () | `Resized -> run display input pad

let () =
  Soil.run @@ fun () ->
  Soil_display.with_display ~name:screen @@ fun display ->
  Soil_input.with_devices @@ fun input ->
  let typing = Soil_input.Typing.create Soil_input.Layout.us in
  run display input { typing; lines = []; pen = (0., 0.); is_down = false; text = "" }
