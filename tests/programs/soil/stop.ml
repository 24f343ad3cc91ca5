(* Ends by each of the ways that Soil has, after writing a file that must be there afterwards.
   Argument: exit|power-off|exception|end. *)
let () =
  Soil.run @@ fun () ->
  Soil.Fs.write_file "/data/last.txt" "written before the end\n";
  match Sys.argv.(1) with
  | "exit" -> Soil.exit 5
  | "stdlib" -> Stdlib.exit 6
  | "power-off" -> Soil.Machine.power_off ()
  | "exception" -> failwith "as intended"
  | _ -> ()
