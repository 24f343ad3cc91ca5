(* A C library that calls abort. *)
external abort : unit -> unit = "test_abort"

let () =
  print_endline "before";
  abort ()
