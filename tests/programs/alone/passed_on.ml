(* Opens a file by a function that it only passes on. *)
let () =
  match List.map open_in [ "/etc/passwd"; "/etc/group" ] with
  | _ -> print_endline "opened"
  | exception Sys_error text -> print_endline text
