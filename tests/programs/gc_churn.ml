(* More than 200 MB allocated in all, of which little lives at any time: small and large blocks,
   weak pointers, finalisers, compaction. *)
type tree = Leaf | Node of tree * tree

let rec make depth = if depth = 0 then Leaf else Node (make (depth - 1), make (depth - 1))
let rec count = function Leaf -> 1 | Node (a, b) -> count a + count b

let () =
  let kept = make 14 in
  let total = ref 0 in
  for _ = 1 to 600 do
    total := !total + count (make 13)
  done;
  let table = Hashtbl.create 16 in
  for i = 1 to 2_000 do
    Hashtbl.replace table (i mod 7) (Bytes.make 50_000 (Char.chr (i land 255)))
  done;
  let finalised = ref 0 in
  for _ = 1 to 1_000 do
    Gc.finalise (fun _ -> incr finalised) (ref 0)
  done;
  let weak = Weak.create 1 in
  Weak.set weak 0 (Some (ref 1));
  Gc.compact ();
  Gc.full_major ();
  let allocated = Gc.allocated_bytes () in
  Printf.printf "trees %d, kept %d, table %d\n" !total (count kept) (Hashtbl.length table);
  Printf.printf "finalised all: %b, weak gone: %b\n" (!finalised >= 999) (Weak.get weak 0 = None);
  Printf.printf "allocated over 200 MB: %b\n" (allocated > 200e6)
