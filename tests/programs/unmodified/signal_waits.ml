(* Waits for signals in C: nothing else in this program needs what is below files and threads. *)

external run : unit -> unit = "test_signal_waits"

let () = run ()
