(* Frames a second, what of a frame's time is its copy, and answers to keys. The memory holds two
   pictures, so that each frame is another one. *)

let now = Unix.gettimeofday

let pictures ~width ~height =
  List.map
    (fun colour ->
      let picture = Bigarray.(Array1.create int32 c_layout (width * height)) in
      Bigarray.Array1.fill picture colour;
      picture)
    [ 0x204060l; 0xE0C0A0l ]

(* Calls [f] with the pictures in turn for some seconds; calls a second. *)
let rate ~seconds pictures f =
  let start = now () in
  let rec go frames = function
    | [] -> go frames pictures
    | picture :: rest ->
        f picture;
        let elapsed = now () -. start in
        if elapsed < seconds then go (frames + 1) rest else float_of_int (frames + 1) /. elapsed
  in
  go 0 []

let blit_rows picture pixels ~width ~y ~rows =
  let part array = Bigarray.Array1.sub array (y * width) (rows * width) in
  Bigarray.Array1.blit (part picture) (part pixels)

let frames display ~width ~height ~rows ~seconds =
  let y = (height - rows) / 2 in
  let rate =
    rate ~seconds (pictures ~width ~height) @@ fun picture ->
    blit_rows picture (Screen.pixels display) ~width ~y ~rows;
    Screen.flush display ~y ~rows
  in
  Screen.drain display;
  rate

let copies display ~width ~height ~seconds =
  rate ~seconds (pictures ~width ~height) @@ fun picture ->
  blit_rows picture (Screen.pixels display) ~width ~y:0 ~rows:height;
  Screen.turn display

let answer_keys display ~width =
  print_endline "ready";
  while true do
    Screen.key display;
    Bigarray.Array1.(fill (sub (Screen.pixels display) 0 (16 * width)) 0xFFFFFFl);
    Screen.flush display ~y:0 ~rows:16;
    Screen.drain display;
    print_endline "shown"
  done

let () =
  match Sys.argv with
  | [| _; mode; width; height; seconds |] ->
      let width = int_of_string width and height = int_of_string height in
      let seconds = float_of_string seconds in
      Screen.run ~width ~height (fun display ->
          match mode with
          | "full" ->
              Printf.printf "fps=%g\n%!" (frames display ~width ~height ~rows:height ~seconds)
          | "damage" ->
              Printf.printf "fps=%g\n%!"
                (frames display ~width ~height ~rows:(height / 20) ~seconds)
          | "copies" -> Printf.printf "fps=%g\n%!" (copies display ~width ~height ~seconds)
          | "keys" -> answer_keys display ~width
          | _ -> failwith mode)
  | _ -> failwith "full|damage|copies|keys WIDTH HEIGHT SECONDS"
