(* System calls as Linux answers them: the group of checks that the argument names. *)
external run : string -> unit = "test_system_calls"

let () = run Sys.argv.(1)
