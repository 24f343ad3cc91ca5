(* What a C library does at its wits' end. *)
external abort : unit -> unit = "test_abort"

let () =
  print_endline "before";
  abort ()
