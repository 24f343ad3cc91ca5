(* Threads on the processors that they are for: see affinity.c. *)

external first : int -> int = "affinity_first"
external run : unit -> unit = "affinity_run"

let () =
  let wanted = int_of_string Sys.argv.(1) in
  let found = first wanted in
  Printf.printf "%d, recommended: %d\n%!" found (Domain.recommended_domain_count ());
  run ();
  (* A domain has the set of the one that spawns it. *)
  let recommended = Domain.join (Domain.spawn Domain.recommended_domain_count) in
  Printf.printf "recommended to a domain: %d\n" recommended
