(* The values of the variables that the arguments name. *)
let show name =
  match Sys.getenv_opt name with
  | Some value -> Printf.printf "%s=%S\n" name value
  | None -> Printf.printf "%s is not set\n" name

let () = Array.iteri (fun i name -> if i > 0 then show name) Sys.argv
