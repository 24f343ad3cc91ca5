(* Displays in memory: sizes, buffers, frames in their order, errors. *)

module Display = Soil_display
open Bigarray

let fails code f =
  match f () with
  | _ -> Alcotest.fail "no error"
  | exception Soil.Error e ->
      Alcotest.(check string) "code" (Soil.Error.message code) (Soil.Error.message e.code);
      e

let refuses f =
  match f () with _ -> Alcotest.fail "not refused" | exception Invalid_argument _ -> ()

let names () =
  Alcotest.(check (list string)) "names" [ "display0"; "display1" ] (Display.names ());
  let size name =
    Display.with_display ~name @@ fun d ->
    let { Display.connected; width; height; modes; _ } = Display.state d in
    Alcotest.(check bool) "connected" true connected;
    Alcotest.(check int) "modes" 1 (List.length modes);
    (Display.name d, width, height)
  in
  Alcotest.(check (triple string int int)) "first" ("display0", 64, 48) (size "");
  Alcotest.(check (triple string int int)) "second" ("display1", 32, 16) (size "display1")

let opened () =
  Display.with_display (fun d ->
      let e = fails Busy (fun () -> Display.open_ ()) in
      Alcotest.(check string) "detail" "display0 is open already" e.detail;
      let e = fails No_device (fun () -> Display.open_ ~name:"tv" ()) in
      Alcotest.(check string) "detail" "no display tv: there is display0, display1" e.detail;
      Display.close d;
      Display.close d;
      ignore (fails Closed (fun () -> Display.state d));
      ignore (fails Closed (fun () -> Display.buffer d ~width:16 ~height:16)));
  Display.with_display ignore

let buffers () =
  Display.with_display @@ fun d ->
  let b = Display.buffer d ~width:40 ~height:20 in
  let m = Display.memory b in
  Alcotest.(check int) "rows" 20 (Array2.dim1 m);
  Alcotest.(check bool) "columns" true (Array2.dim2 m >= 40);
  Alcotest.(check int32) "black" 0l m.{19, 39};
  m.{19, 39} <- 0xabcdefl;
  let part = Array2.sub_left m 19 1 in
  Display.wait (Display.present b);
  Display.release b;
  Display.release b;
  Alcotest.(check int) "empty" 0 (Array2.dim1 m);
  Alcotest.(check int32) "a part stays" 0xabcdefl part.{0, 39};
  ignore (fails Closed (fun () -> Display.present b));
  List.iter
    (fun (width, height) -> refuses (fun () -> Display.buffer d ~width ~height))
    [ (15, 20); (20, 8193); (-1, 20) ]

let frames () =
  Display.with_display @@ fun d ->
  Display.with_frames d @@ fun frames ->
  let at x y = (Display.pixels frames).{y, x} in
  let draw x y c = (Display.pixels frames).{y, x} <- c in
  draw 1 2 1l;
  Display.flip frames;
  Alcotest.(check int32) "the frame begins as the last one" 1l (at 1 2);
  draw 3 4 2l;
  draw 5 6 3l;
  Display.flip frames ~damage:[ { x = 3; y = 4; width = 1; height = 1 } ];
  Alcotest.(check int32) "what was damaged is there" 2l (at 3 4);
  Alcotest.(check int32) "and what was there before" 1l (at 1 2);
  Alcotest.(check int32) "what was not said to be isn't" 0l (at 5 6);
  let odd = [ { Display.x = -5; y = 47; width = 1000; height = max_int } ] in
  draw 0 47 4l;
  Display.flip frames ~damage:odd;
  Alcotest.(check int32) "rectangles are clipped" 4l (at 0 47);
  Display.flip frames ~damage:[]

let released () =
  Display.with_display @@ fun d ->
  let kept = Display.with_frames d (fun frames -> Display.pixels frames) in
  Alcotest.(check int) "nothing is left" 0 (Array2.dim1 kept)

let memory () =
  let used () = (Soil.Machine.memory ()).in_use in
  Display.with_display @@ fun d ->
  let round () =
    let b = Display.buffer d ~width:1024 ~height:1024 in
    Array2.fill (Display.memory b) 1l;
    Display.wait (Display.present b);
    Display.release b
  in
  for _ = 1 to 4 do
    round ()
  done;
  let before = used () in
  for _ = 1 to 100 do
    round ()
  done;
  (* A hundred times 4 MiB would show. *)
  Alcotest.(check bool) "no more memory" true (used () - before < 64 lsl 20)

let changes () =
  Display.with_display @@ fun d ->
  Soil.run @@ fun () ->
  match Soil.Task.timeout_opt 0.01 (fun () -> Display.await_change d) with
  | Some _ -> Alcotest.fail "changed"
  | None -> (
      Soil.Task.scope @@ fun scope ->
      let waiter =
        Soil.Task.spawn scope (fun () -> Soil.Error.catch (fun () -> Display.await_change d))
      in
      Soil.Task.yield ();
      Display.close d;
      match Soil.Task.await waiter with
      | Error { code = Closed; _ } -> ()
      | Ok _ | Error _ -> Alcotest.fail "the wait goes on after the display is closed")

let tasks () =
  Display.with_display @@ fun d ->
  Soil.run @@ fun () ->
  let b = Display.buffer d ~width:16 ~height:16 in
  let shown = ref 0 in
  let show _ =
    Display.wait (Display.present b);
    incr shown
  in
  Soil.Task.iter ~max:20 show (List.init 100 Fun.id);
  Alcotest.(check int) "all are shown" 100 !shown

let cursor () =
  Display.with_display @@ fun d ->
  let image h = Array2.create Int32 C_layout h 64 in
  Display.set_cursor d (image 64) ~x:63 ~y:63;
  Display.move_cursor d ~x:10 ~y:10;
  Display.hide_cursor d;
  refuses (fun () -> Display.set_cursor d (image 63));
  refuses (fun () -> Display.set_cursor d (image 64) ~x:64);
  refuses (fun () -> Display.move_cursor d ~x:(-1) ~y:0)

let () =
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "soil-display"
    [
      ( "display",
        [
          case "names and sizes" names;
          case "opened once" opened;
          case "buffers" buffers;
          case "frames" frames;
          case "frames given back" released;
          case "memory" memory;
          case "changes" changes;
          case "several tasks" tasks;
          case "cursor" cursor;
        ] );
    ]
