(* Draws a text as the console is to look, by lines of standard input: [ROW COLUMN FOREGROUND
   BACKGROUND FONT TEXT], the colours as numbers; the font [underline] paints that alone. *)

module Draw = Soil_draw

let draw pixels line =
  Scanf.sscanf line "%d %d %i %i %s@ %[^\n]" @@ fun row column foreground background font text ->
  let x = column * 8 and y = row * 13 in
  if font = "underline" then Draw.rectangle pixels foreground ~x ~y:(y + 11) ~width:8 ~height:1
  else
    let font = if font = "bold" then Draw.Bold else Draw.Medium in
    let width, height = Draw.text_size ~font text in
    Draw.rectangle pixels background ~x ~y ~width ~height;
    Draw.text ~font pixels foreground ~x ~y text

let () =
  Soil.run @@ fun () ->
  let d = Soil_display.open_ () in
  let { width; height; _ } : Soil_display.state = Soil_display.state d in
  let b = Soil_display.buffer d ~width ~height in
  let pixels = Soil_display.memory b in
  let rec go () =
    match input_line stdin with
    | line ->
        draw pixels line;
        go ()
    | exception End_of_file -> ()
  in
  go ();
  Soil_display.wait (Soil_display.present b)
