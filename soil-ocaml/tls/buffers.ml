let small = 4096
let large = (4 * (16384 + 32)) + 128
let unused_max = 32 (* of each *)

(* Unused buffers of a size, and how many there are. Changed by compare-and-set: domains do so at the
   same time. *)
type unused = Empty | Buffer of { buffer : bytes; count : int; rest : unused }

let unused_small = Atomic.make Empty
and unused_large = Atomic.make Empty

let unused n = if n = small then unused_small else unused_large

let rec take_from unused n =
  match Atomic.get unused with
  | Empty -> Bytes.create n
  | Buffer { buffer; rest; _ } as all ->
      if Atomic.compare_and_set unused all rest then buffer else take_from unused n

let rec give_to unused buffer =
  let rest = Atomic.get unused in
  let count = match rest with Empty -> 0 | Buffer { count; _ } -> count in
  if count < unused_max then
    let all = Buffer { buffer; count = count + 1; rest } in
    if not (Atomic.compare_and_set unused rest all) then give_to unused buffer

let take n = take_from (unused n) n
let give b = give_to (unused (Bytes.length b)) b
