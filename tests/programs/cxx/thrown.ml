(* A C++ exception, in a program that uses no other part of C++. *)

external thrown : int -> int = "thrown_caught"

let () = Printf.printf "caught %d\n" (thrown 42)
