(* Shapes and text, pixel by pixel where that is exact. *)

module Draw = Soil_draw

let at pixels x y = Int32.to_int pixels.{y, x} land 0xFFFFFF
let colour = Alcotest.testable (fun ppf -> Format.fprintf ppf "%06x") Int.equal
let check = Alcotest.check

let rows pixels =
  let row y =
    String.init (Bigarray.Array2.dim2 pixels) (fun x -> if at pixels x y = 0 then '.' else '#')
  in
  List.init (Bigarray.Array2.dim1 pixels) row

let shows name expected pixels = check Alcotest.(list string) name expected (rows pixels)

let rectangles () =
  let pixels = Draw.create ~width:5 ~height:3 in
  Draw.rectangle pixels 0xFF8000 ~x:1 ~y:1 ~width:10 ~height:1;
  shows "clipped" [ "....."; ".####"; "....." ] pixels;
  check colour "its colour" 0xFF8000 (at pixels 1 1);
  Draw.rectangle ~alpha:0.5 pixels 0 ~x:0 ~y:0 ~width:5 ~height:3;
  check colour "half of it" 0x7F4000 (at pixels 1 1);
  Draw.rectangle pixels 0xFFFFFF ~x:0 ~y:0 ~width:(-3) ~height:3;
  check colour "no width" 0 (at pixels 0 0);
  Draw.clear pixels 0x010203;
  check colour "cleared" 0x010203 (at pixels 4 2)

let copies () =
  let pixels = Draw.create ~width:4 ~height:3 and from = Draw.create ~width:2 ~height:2 in
  Draw.clear from 0xFFFFFF;
  Draw.copy pixels ~x:3 ~y:(-1) from;
  shows "clipped" [ "...#"; "...."; "...." ] pixels;
  Draw.copy pixels ~x:0 ~y:1 from;
  shows "whole" [ "...#"; "##.."; "##.." ] pixels;
  let same () = Draw.copy pixels ~x:0 ~y:0 (Bigarray.Array2.sub_left pixels 1 2) in
  check Alcotest.bool "of itself" true
    (match same () with () -> false | exception Invalid_argument _ -> true)

let shapes () =
  let pixels = Draw.create ~width:8 ~height:8 in
  Draw.fill pixels 0xFFFFFF (Draw.box ~x:1. ~y:2. 3. 2.);
  shows "a box"
    [
      "........"; "........"; ".###...."; ".###...."; "........"; "........"; "........"; "........";
    ]
    pixels;
  Draw.clear pixels 0;
  let ring = Draw.box ~x:0. ~y:0. 8. 8. @ Draw.box ~x:2. ~y:2. 4. 4. in
  Draw.fill ~even_odd:true pixels 0xFFFFFF ring;
  check colour "a hole" 0 (at pixels 4 4);
  Draw.fill pixels 0xFFFFFF ring;
  check colour "no hole" 0xFFFFFF (at pixels 4 4)

(* What of the picture is painted, in pixels. *)
let area pixels =
  let sum = ref 0 in
  for y = 0 to Bigarray.Array2.dim1 pixels - 1 do
    for x = 0 to Bigarray.Array2.dim2 pixels - 1 do
      sum := !sum + (at pixels x y land 0xFF)
    done
  done;
  float_of_int !sum /. 255.

let painted shape =
  let pixels = Draw.create ~width:64 ~height:64 in
  Draw.fill pixels 0xFFFFFF shape;
  area pixels

let close_to name expected found = check (Alcotest.float (expected /. 50.)) name expected found

let circles () =
  close_to "a circle" (Float.pi *. 400.) (painted (Draw.circle ~x:32. ~y:32. 20.));
  close_to "an ellipse" (Float.pi *. 200.) (painted (Draw.ellipse ~x:32. ~y:32. 20. 10.));
  let corners = (4. -. Float.pi) *. 64. in
  close_to "round corners"
    ((40. *. 30.) -. corners)
    (painted (Draw.box ~radius:8. ~x:8. ~y:8. 40. 30.));
  let quarter =
    Draw.arc ~x:32. ~y:32. ~radius:20. 0. (Float.pi /. 2.) @ [ Line (32., 32.); Close ]
  in
  close_to "a quarter" (Float.pi *. 100.) (painted quarter);
  let pixels = Draw.create ~width:64 ~height:64 in
  Draw.fill pixels 0xFFFFFF quarter;
  check colour "clockwise from the right" 0xFFFFFF (at pixels 40 40);
  check colour "and no further" 0 (at pixels 24 40)

let strokes () =
  let pixels = Draw.create ~width:8 ~height:5 in
  Draw.stroke ~round:false ~width:3. pixels 0xFFFFFF (Draw.lines [ (1., 2.5); (6., 2.5) ]);
  shows "a line" [ "........"; ".#####.."; ".#####.."; ".#####.."; "........" ] pixels

let no_numbers () =
  let pixels = Draw.create ~width:8 ~height:5 in
  let black = rows pixels in
  let shape = Draw.circle ~x:Float.nan ~y:2. 3. in
  Draw.stroke pixels 0xFFFFFF shape;
  Draw.fill pixels 0xFFFFFF shape;
  Draw.stroke pixels 0xFFFFFF (Draw.lines [ (1., Float.nan); (6., Float.nan) ]);
  shows "nothing" black pixels

let words () =
  let pixels = Draw.create ~width:12 ~height:20 in
  Draw.text pixels ~font:Small ~scale:2 0xFFFFFF ~x:0 ~y:0 "I";
  check Alcotest.bool "painted" true (area pixels > 0.);
  check Alcotest.(pair int int) "size" (24, 40) (Draw.text_size ~font:Small ~scale:2 "I\nié");
  let one text =
    let pixels = Draw.create ~width:10 ~height:20 in
    Draw.text pixels ~font:Large 0xFFFFFF ~x:0 ~y:0 text;
    rows pixels
  in
  check Alcotest.(list string) "not UTF-8" (one "?") (one "\xFF");
  check Alcotest.bool "of ISO 8859-1" true (one "é" <> one "e" && one "é" <> one "?")

let sides () =
  let long = Draw.create ~width:32768 ~height:1 in
  let raises f = match f () with () -> false | exception Invalid_argument _ -> true in
  check Alcotest.bool "too long" true
    (raises (fun () -> Draw.fill long 0 (Draw.circle ~x:0. ~y:0. 1.)));
  let none = Draw.create ~width:0 ~height:3 in
  Draw.text none 0 ~x:0 ~y:0 "x";
  Draw.copy none ~x:0 ~y:0 none;
  Draw.fill none 0 (Draw.circle ~x:0. ~y:0. 1.)

(* Shapes need memory of the runtime, which is one domain's. *)
let domains () =
  Soil.run @@ fun () ->
  let pixels = Draw.create ~width:8 ~height:8 in
  let elsewhere () =
    Draw.text pixels 0xFFFFFF ~x:0 ~y:0 "x";
    match Draw.fill pixels 0 (Draw.circle ~x:0. ~y:0. 9.) with
    | () -> false
    | exception Invalid_argument _ -> true
  in
  check Alcotest.bool "refused" true (Domain.join (Domain.spawn elsewhere));
  check Alcotest.bool "and text set" true (area pixels > 0.)

(* Any numbers are drawn, or left out. *)
let anything =
  let open QCheck2 in
  let point = Gen.(pair float float) in
  let step =
    Gen.(
      oneof
        [
          map (fun (x, y) -> Draw.Move (x, y)) point;
          map (fun (x, y) -> Draw.Line (x, y)) point;
          map (fun (a, b) -> Draw.Quadratic (a, b)) (pair point point);
          map (fun (a, b, c) -> Draw.Cubic (a, b, c)) (triple point point point);
          pure Draw.Close;
        ])
  in
  Test.make ~count:500 ~name:"any numbers"
    Gen.(triple (list_size (int_range 0 8) step) float (pair int string))
    (fun (shape, width, (place, text)) ->
      let pixels = Draw.create ~width:9 ~height:7 in
      Draw.fill pixels place shape;
      Draw.stroke ~width ~alpha:width pixels place shape;
      Draw.text ~scale:place pixels 1 ~x:place ~y:(-place) text;
      Draw.rectangle pixels 1 ~x:place ~y:0 ~width:place ~height:place;
      true)

let () =
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "draw"
    [
      ( "pictures",
        [
          case "rectangles" rectangles;
          case "copies" copies;
          case "shapes" shapes;
          case "circles" circles;
          case "strokes" strokes;
          case "places that are no numbers" no_numbers;
          case "text" words;
          case "sides" sides;
          case "domains" domains;
        ] );
      ("properties", [ case "any numbers" (fun () -> QCheck2.Test.check_exn anything) ]);
    ]
