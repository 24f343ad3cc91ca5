(* Counts the lines and words of the files that are named, or of standard input. *)

let usage = "usage: main [FILE…]"

let count = function
  | None -> print_endline (Count.to_string (Count.of_input (Soil.File_descriptor.of_console ())))
  | Some path ->
      let counted = Soil.Fs.with_file path Count.of_input in
      print_endline (Count.to_string counted ^ " " ^ path)

let () =
  let paths = ref [] in
  Arg.parse [] (fun path -> paths := path :: !paths) usage;
  Soil.run @@ fun () ->
  match List.rev !paths with
  | [] -> count None
  | paths -> (
      match Soil.Error.catch (fun () -> List.iter (fun path -> count (Some path)) paths) with
      | Ok () -> ()
      | Error e ->
          prerr_endline ("main: " ^ Soil.Error.to_string e);
          Soil.exit 1)
