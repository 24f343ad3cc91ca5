(* Threads of C at random (stress.c), beside threads of OCaml that collect garbage. *)

external stress : int -> int -> bool = "stress"

let () =
  let ms = int_of_string Sys.argv.(1) and seed = int_of_string Sys.argv.(2) in
  let over = Atomic.make false in
  let collect () =
    while not (Atomic.get over) do
      ignore (Sys.opaque_identity (List.init 1000 string_of_int));
      Thread.yield ()
    done
  in
  let collectors = List.init 2 (fun _ -> Thread.create collect ()) in
  let good = stress ms seed in
  Atomic.set over true;
  List.iter Thread.join collectors;
  print_endline (if good then "all was right" else "something was wrong")
