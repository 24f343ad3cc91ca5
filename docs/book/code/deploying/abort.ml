(* Keeps all numbers, until the memory is used up. *)
let rec keep kept n = if n < 0 then kept else keep (n :: kept) (n + 1)
let () = print_int (List.length (keep [] 0))
