(* Domain.spawn says why there can be no second domain; threads work all the same. *)

let () =
  (match Domain.spawn (fun () -> 1) with
  | domain -> Printf.printf "a domain: %d\n" (Domain.join domain)
  | exception Failure text -> print_endline text);
  Thread.join (Thread.create (fun () -> print_endline "a thread") ())
