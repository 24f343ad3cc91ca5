(* Takes memory until there is none. *)
let () =
  let rec take kept =
    match Bytes.make 1_000_000 'x' with
    | block -> take (block :: kept)
    | exception Out_of_memory -> List.length kept
  in
  let blocks = take [] in
  Printf.printf "out of memory after some blocks: %b\n%!" (blocks > 3);
  Gc.compact ();
  Printf.printf "afterwards: %d\n%!" (Bytes.length (Bytes.make 1_000_000 'y'))
