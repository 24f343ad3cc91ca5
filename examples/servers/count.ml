(* Counts lines: of the files that are named, or of standard input. *)
module D = Soil.File_descriptor

let count d = Seq.length (Soil.Reader.Text.lines (Soil.Reader.create d))
let show name n = Printf.printf "%7d %s\n" n name

let () =
  Soil.run @@ fun () ->
  match List.tl (Array.to_list Sys.argv) with
  | [] -> show (D.name (D.of_console ())) (count (D.of_console ()))
  | paths ->
      let one path = (path, Soil.Fs.with_file path count) in
      List.iter (fun (path, n) -> show path n) (Soil.Task.map ~max:8 one paths)
