(* A thread that reads at address 0 while the first one waits for it. *)

external fault_in_a_thread : unit -> unit = "fault_in_a_thread"

let () =
  let wait_for_the_thread = Thread.join in
  wait_for_the_thread (Thread.create fault_in_a_thread ())
