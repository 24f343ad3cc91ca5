(* Two domains on an allocator of the program. *)

external calls : unit -> int = "own_malloc_calls"

let work () =
  (* From malloc, as each block above 1 KiB. *)
  let blocks = List.init 200 (fun i -> Bytes.make (2000 + (100 * i)) 'x') in
  List.for_all (fun block -> Bytes.get block (Bytes.length block - 1) = 'x') blocks

let () =
  let before = calls () in
  let other = Domain.spawn work in
  let here = work () in
  assert (here && Domain.join other);
  Gc.full_major ();
  assert (calls () - before >= 400);
  print_endline "the program's own allocator"
