(* Shows pictures that tests/cases/display.py knows, by commands on standard input: [draw NAME
   WIDTH HEIGHT], [damage NAME X Y WIDTH HEIGHT], [cursor NAME], [close NAME], [frames COUNT],
   [sizes], [change], [memory]. *)

open Bigarray
module Display = Soil_display

let input = Soil.Reader.create (Soil.File_descriptor.of_console ())

(* A pixel of the picture: no two neighbours are the same. *)
let pixel x y =
  Int32.of_int (((x * 7 land 255) lsl 16) lor ((y * 5 land 255) lsl 8) lor ((x + y) land 255))

let fill pixels width height =
  for y = 0 to height - 1 do
    for x = 0 to width - 1 do
      pixels.{y, x} <- pixel x y
    done
  done

let displays = Hashtbl.create 2

let display name =
  match Hashtbl.find_opt displays name with
  | Some d -> d
  | None ->
      let d = Display.open_ ~name () in
      Hashtbl.add displays name d;
      d

let shown = Hashtbl.create 2

let draw name width height =
  let b = Display.buffer (display name) ~width ~height in
  fill (Display.memory b) width height;
  Display.wait (Display.present b);
  Option.iter Display.release (Hashtbl.find_opt shown name);
  Hashtbl.replace shown name b

(* Draws the inverse everywhere, and says that only a rectangle has changed. *)
let damage name x y width height =
  let b = Hashtbl.find shown name in
  let m = Display.memory b in
  for row = 0 to Array2.dim1 m - 1 do
    for column = 0 to Array2.dim2 m - 1 do
      m.{row, column} <- Int32.lognot m.{row, column}
    done
  done;
  Display.wait (Display.present b ~damage:[ { x; y; width; height } ])

(* Half-opaque, of one colour. *)
let cursor name =
  let image = Array2.create int32 c_layout 64 64 in
  Array2.fill image 0x7fff0040l;
  Display.set_cursor (display name) ~x:3 ~y:5 image

let close name =
  Display.close (display name);
  Hashtbl.remove displays name;
  Hashtbl.remove shown name

let frames count =
  Display.with_frames (display "display0") ~width:64 ~height:64 @@ fun frames ->
  for i = 1 to count do
    (Display.pixels frames).{i land 63, (i lsr 6) land 63} <- Int32.of_int i;
    Display.flip frames ~damage:[ { x = (i lsr 6) land 63; y = i land 63; width = 1; height = 1 } ]
  done

let print_state name (s : Display.state) =
  Printf.printf "%s %b %dx%d %d\n%!" name s.connected s.width s.height (List.length s.modes)

let rec go () =
  match Soil.Reader.line input with
  | exception End_of_file -> ()
  | line ->
      (match String.split_on_char ' ' (String.trim line) with
      | [ "draw"; name; width; height ] -> draw name (int_of_string width) (int_of_string height)
      | [ "damage"; name; x; y; width; height ] ->
          damage name (int_of_string x) (int_of_string y) (int_of_string width)
            (int_of_string height)
      | [ "cursor"; name ] -> cursor name
      | [ "close"; name ] -> close name
      | [ "frames"; count ] -> frames (int_of_string count)
      | [ "sizes" ] ->
          List.iter (fun n -> print_state n (Display.state (display n))) (Display.names ())
      | [ "change"; name ] -> print_state name (Display.await_change (display name))
      | [ "memory" ] ->
          Gc.full_major ();
          Printf.printf "memory %d\n" (Soil.Machine.memory ()).in_use
      | [ "end" ] -> exit 0
      | _ -> print_endline ("unknown: " ^ line));
      print_endline ("done " ^ String.trim line);
      go ()

let () =
  Soil.run @@ fun () ->
  print_endline "ready";
  go ()
