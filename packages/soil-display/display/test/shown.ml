(* A display with a VNC client that requests updates when the test says so: cancelled frames, changes
   of size. *)

module Display = Soil_display
module Viewer = Test_viewer

(* Lets Soil take what the viewer has sent. *)
let pause () = Soil.Clock.sleep 0.001

(* Each wait ends; more than the ten seconds that a display has for a frame. *)
let in_time f =
  Soil.run @@ fun () ->
  match Soil.Task.timeout_opt 30. f with Some () -> () | None -> Alcotest.fail "it waits for ever"

let take_update () =
  Viewer.request ();
  pause ();
  Viewer.updates ()

let answer_all () = ignore (take_update ())

let gives_up f =
  match Soil.Task.timeout_opt 0.005 f with
  | Some () -> Alcotest.fail "nothing answered"
  | None -> ()

let covers x y (left, top, width, height) =
  left <= x && x < left + width && top <= y && y < top + height

let cancelled () =
  in_time @@ fun () ->
  Display.with_display @@ fun d ->
  Display.with_frames ~width:32 ~height:16 d @@ fun frames ->
  answer_all ();
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
  let sent = take_update () in
  Alcotest.(check bool) "what was drawn in vain is sent" true (List.exists (covers 7 8) sent);
  List.iter
    (fun (x, y) -> Alcotest.(check int32) "all is there" 1l (at x y))
    [ (1, 2); (3, 4); (5, 6); (7, 8); (9, 10) ]

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

let without_limits () =
  in_time @@ fun () ->
  Display.with_display @@ fun d ->
  Viewer.resize ~width:3 ~height:9000;
  pause ();
  Alcotest.(check (pair int int)) "what is possible" (16, 8192) (Display.with_frames d Display.size)

let () =
  Viewer.start ();
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "soil-display with a client"
    [
      ("frames", [ case "a flip that is cancelled" cancelled ]);
      ( "sizes",
        [
          case "a change before frames" resized;
          case "a display that is opened again" opened_again;
          case "a size out of range" without_limits;
        ] );
    ]
