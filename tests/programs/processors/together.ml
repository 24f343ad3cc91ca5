(* POSIX threads on the machine's processors: see together.c. *)

external run : string -> (int[@untagged]) -> (int[@untagged]) = "unavailable" "together_stub"

let () =
  let which = if Array.length Sys.argv > 2 then int_of_string Sys.argv.(2) else 0 in
  Printf.printf "on %d\n%!" (run Sys.argv.(1) which)
