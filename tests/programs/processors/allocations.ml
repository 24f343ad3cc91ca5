(* C's allocator in domains. Arguments: DOMAINS WORDS, of "shared", "twice", "exhausted". *)

external share : int -> unit = "allocations_share"
external free_twice : unit -> unit = "allocations_free_twice"
external measure : unit -> unit = "allocations_measure"
external exhaust : unit -> unit = "allocations_exhaust"

let () =
  if Sys.argv.(2) = "exhausted" then measure ();
  let domains = int_of_string Sys.argv.(1) in
  let all = List.init domains (fun number -> Domain.spawn (fun () -> share number)) in
  List.iter Domain.join all;
  print_endline "shared: as expected";
  match Sys.argv.(2) with "twice" -> free_twice () | "exhausted" -> exhaust () | _ -> ()
