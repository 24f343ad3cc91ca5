(* A display in a viewer that answers when the test says so: cancelled and failed frames, changes of
   size. *)

module Display = Soil_display
module Viewer = Test_viewer

(* Number and damage of the frames that the viewer was sent since the last call. *)
let presented () =
  let frame = function
    | 3 :: _display :: _buffer :: number :: _high :: damage -> Some (number, damage)
    | _ -> None
  in
  List.filter_map frame (Viewer.requests ())

let last_presented () =
  match List.rev (presented ()) with
  | (number, damage) :: _ -> (number, damage)
  | [] -> Alcotest.fail "no frame"

(* Lets Soil take what the viewer has sent. *)
let pause () = Soil.Clock.sleep 0.001

(* Each wait ends; more than the ten seconds that a display has for a frame. *)
let in_time f =
  Soil.run @@ fun () ->
  match Soil.Task.timeout_opt 30. f with Some () -> () | None -> Alcotest.fail "it waits for ever"

let times_out f =
  match f () with
  | _ -> Alcotest.fail "no error"
  | exception Soil.Error { code = Timed_out; _ } -> ()

let show d = Display.present (Display.buffer d ~width:32 ~height:16)

let stalled () =
  in_time @@ fun () ->
  Display.with_display (fun d ->
      ignore (show d);
      ignore (show d));
  Display.with_display @@ fun d ->
  (* It is not tried for ever. *)
  times_out (fun () -> show d);
  times_out (fun () -> show d);
  List.iter (fun (number, _) -> Viewer.answer number) (presented ());
  pause ();
  (* Both frames before failed, and are no reason not to show this one. *)
  let shown = show d in
  Viewer.answer (fst (last_presented ()));
  Display.wait shown

let answer_all () =
  List.iter (fun (number, _) -> Viewer.answer number) (presented ());
  pause ()

let gives_up f =
  match Soil.Task.timeout_opt 0.005 f with
  | Some () -> Alcotest.fail "nothing answered"
  | None -> ()

let covers x y damage =
  let rec go = function
    | left :: top :: width :: height :: rest ->
        (left <= x && x < left + width && top <= y && y < top + height) || go rest
    | _ -> false
  in
  go damage

let cancelled () =
  in_time @@ fun () ->
  Display.with_display @@ fun d ->
  Display.with_frames ~width:32 ~height:16 d @@ fun frames ->
  let at x y = (Display.pixels frames).{y, x} in
  let draw x y =
    (Display.pixels frames).{y, x} <- 1l;
    [ { Display.x; y; width = 1; height = 1 } ]
  in
  Display.flip frames;
  answer_all ();
  Display.flip frames ~damage:(draw 1 2);
  answer_all ();
  Display.flip frames ~damage:(draw 3 4);
  (* It waits for the one before, after its own was sent. *)
  gives_up (fun () -> Display.flip frames ~damage:(draw 5 6));
  Alcotest.(check int32) "the next frame begins as that one" 1l (at 5 6);
  (* It waits for room. *)
  gives_up (fun () -> Display.flip frames ~damage:(draw 7 8));
  answer_all ();
  Display.flip frames ~damage:(draw 9 10);
  let number, damage = last_presented () in
  Alcotest.(check bool) "what was drawn in vain is sent" true (covers 7 8 damage);
  List.iter
    (fun (x, y) -> Alcotest.(check int32) "all is there" 1l (at x y))
    [ (1, 2); (3, 4); (5, 6); (7, 8); (9, 10) ];
  (* The end of the program would wait for it. *)
  Viewer.answer number

let resized () =
  in_time @@ fun () ->
  Display.with_display @@ fun d ->
  let { width; _ } : Display.state = Display.state d in
  Viewer.resize ~width:(width + 10) ~height:100;
  pause ();
  Display.with_frames ~width:32 ~height:16 d ignore;
  Display.with_frames d (fun frames ->
      Alcotest.(check (pair int int)) "size" (width + 10, 100) (Display.size frames));
  let { width = changed; _ } : Display.state = Display.await_change d in
  Alcotest.(check int) "width" (width + 10) changed

let opened_again () =
  in_time @@ fun () ->
  Display.with_display @@ fun d ->
  match Soil.Task.timeout_opt 0.005 (fun () -> Display.await_change d) with
  | Some _ -> Alcotest.fail "changed since it was opened"
  | None -> ()

let without_a_size () =
  in_time @@ fun () ->
  Display.with_display @@ fun d ->
  let size () = Display.with_frames d Display.size in
  Viewer.resize ~width:0 ~height:0;
  pause ();
  let { Display.width; height; _ } : Display.state = Display.state d in
  Alcotest.(check (pair int int)) "no size" (0, 0) (width, height);
  Alcotest.(check (pair int int)) "the usual one" (640, 480) (size ());
  Viewer.resize ~width:3 ~height:9000;
  pause ();
  Alcotest.(check (pair int int)) "what is possible" (16, 8192) (size ())

let () =
  Viewer.start ();
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "soil.display in a viewer"
    [
      ( "frames",
        [ case "a display that doesn't answer" stalled; case "a flip that is cancelled" cancelled ]
      );
      ( "sizes",
        [
          case "a change before frames" resized;
          case "a display that is opened again" opened_again;
          case "without a size" without_a_size;
        ] );
    ]
