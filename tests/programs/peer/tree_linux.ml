(* tree.ml on Linux's files. *)

let write path text = Out_channel.with_open_bin path (fun c -> Out_channel.output_string c text)
let read path = In_channel.with_open_bin path In_channel.input_all

let list path =
  Sys.readdir path |> Array.to_list
  |> List.map (fun name -> (name, Sys.is_directory (path ^ "/" ^ name)))

let () =
  match Sys.argv with
  | [| _; "make"; root |] -> Tree.make ~mkdir:(fun path -> Sys.mkdir path 0o755) ~write root
  | [| _; "sums"; root |] ->
      Sys.chdir root;
      Tree.sums ~list ~read "."
  | _ -> prerr_endline "make or sums, and a directory"
