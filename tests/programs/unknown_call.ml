(* A system call that the kernel doesn't have, three times. *)
external call : unit -> int = "test_unknown_call"

let () =
  for _ = 1 to 3 do
    Printf.printf "errno %d\n" (call ())
  done
