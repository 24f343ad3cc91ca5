(* POSIX threads on the machine's processors: see together.c. *)

external run : (int[@untagged]) -> string -> (int[@untagged]) -> (int[@untagged])
  = "unavailable" "together_stub"

let () =
  let number at = int_of_string Sys.argv.(at) in
  let which = if Array.length Sys.argv > 3 then number 3 else 0 in
  Printf.printf "on %d\n%!" (run (number 1) Sys.argv.(2) which)
