(* A program whose console is on the display, by the word that it is given; see
   tests/cases/screen.py. *)

open Bigarray
module Display = Soil_display

(* A picture of the program's own. *)
let picture d =
  let b = Display.buffer d ~width:320 ~height:208 in
  Array2.fill (Display.memory b) 0x336699l;
  Display.wait (Display.present b)

let crash () = (Obj.magic 0x3000_0000_0000 : int ref) := 1

let () =
  Soil.run @@ fun () ->
  match Sys.argv.(1) with
  | "text" ->
      print_string "plain \027[1mbold\027[0m \027[31mred\027[0m \027[30;47mon white\027[0m\n";
      flush stdout;
      prerr_string "\tto \195\169rror\r\n";
      flush stderr;
      print_string "a line that is longer than the forty columns of the screen\n";
      print_string "\027[10;38Hcorner\027[2;1Hl\bL"
  | "lines" ->
      for i = 1 to int_of_string Sys.argv.(2) do
        Printf.printf "line %d\n" i
      done
  | "waits" ->
      print_endline "now";
      ignore (input_line stdin)
  | "sleeps" ->
      print_endline "now";
      Soil.Clock.sleep 3600.
  | "computes" ->
      print_endline "now";
      (* Until the machine is ended. *)
      while Sys.opaque_identity true do
        ignore (Sys.opaque_identity 0)
      done
  | "opens" ->
      print_endline "before";
      let d = Display.open_ () in
      picture d;
      print_endline "not shown"
  | "turns" ->
      print_endline "before";
      for _ = 1 to 3 do
        Display.with_display picture;
        print_endline "after"
      done
  | "crashes" ->
      let d = Display.open_ () in
      picture d;
      crash ()
  | "returns" ->
      print_endline "now";
      ignore (input_line stdin);
      Display.with_display (fun d ->
          while (Display.state d).width <> 160 do
            ignore (Display.await_change d)
          done);
      print_string "\027[2J\027[Hback\n";
      flush stdout;
      Soil.Clock.sleep 3600.
  | "stuck" ->
      let console = Soil.File_descriptor.of_console () in
      let write () = Soil.File_descriptor.write_string console (String.make 4096 'x') in
      (* It is full for good: a busy host may keep its reader from a processor for seconds. *)
      while Soil.Task.timeout_opt 12. write <> None do
        ()
      done;
      crash ()
  | other -> failwith other
