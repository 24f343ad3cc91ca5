external run : string -> unit = "test_system_calls"

let () = run Sys.argv.(1)
