(* The keyboard of a VNC client: keys that are held. *)

module Input = Soil_input
module Viewer = Test_viewer

let action = function `Press -> "press" | `Repeat -> "repeat" | `Release -> "release"
let last = ref 0.

let expect what input =
  let event = Input.next input in
  if event.time < !last then Alcotest.fail "time goes back";
  last := event.time;
  match event.what with
  | Key { code; action = a } -> Alcotest.(check (pair int string)) "key" what (code, action a)
  | _ -> Alcotest.fail "not a key"

(* More than the time of a repetition. *)
let handle () = Unix.sleepf 0.003

let slow () =
  Soil.run @@ fun () ->
  Input.with_devices ~repeat:(Some (0.001, 0.001)) @@ fun input ->
  Viewer.key 30 true;
  expect (30, "press") input;
  for _ = 1 to 5 do
    handle ();
    expect (30, "repeat") input
  done;
  handle ();
  (* Another key, which repeats from now on, and the release of the first. *)
  Viewer.key 31 true;
  Viewer.key 30 false;
  expect (31, "press") input;
  expect (30, "release") input;
  Alcotest.(check bool) "released" false (Input.is_held input 30);
  handle ();
  expect (31, "repeat") input;
  Viewer.key 31 false;
  handle ();
  expect (31, "release") input;
  let none = Soil.Task.timeout_opt 0.01 (fun () -> Input.next input) in
  Alcotest.(check bool) "no more" true (none = None)

(* Soil has taken an event after the key was due, which is reported first. *)
let late () =
  Soil.run @@ fun () ->
  Input.with_devices ~repeat:(Some (0.001, 0.001)) @@ fun input ->
  Viewer.key 42 true;
  expect (42, "press") input;
  Viewer.key 30 true;
  (* The first key may repeat meanwhile. *)
  let rec until_pressed () =
    match (Input.next input).what with
    | Key { code = 30; action = `Press } -> ()
    | _ -> until_pressed ()
  in
  until_pressed ();
  handle ();
  Viewer.key 42 false;
  Soil.Clock.sleep 0.001;
  expect (42, "release") input;
  expect (30, "repeat") input

let () =
  Viewer.start ();
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "soil-display.input of a client"
    [
      ( "keys",
        [ case "a release after slow repetitions" slow; case "a repetition that is late" late ] );
    ]
