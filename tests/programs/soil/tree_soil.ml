(* peer/tree.ml on Soil's files. *)
module Fs = Soil.Fs

let list path = List.map (fun (name, kind) -> (name, kind = Fs.Directory)) (Fs.list path)

let () =
  Soil.run @@ fun () ->
  match Sys.argv with
  | [| _; "make"; root |] -> Tree.make ~mkdir:Fs.mkdir ~write:Fs.write_file root
  | [| _; "sums"; root |] -> Tree.sums ~list ~read:Fs.read_file root
  | _ -> prerr_endline "make or sums, and a directory"
