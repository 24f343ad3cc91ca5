let small = 4096
let large = (4 * (16384 + 32)) + 128
let unused_max = 32 (* of each *)

let free_small = ref []
and free_large = ref []

let count_small = ref 0
and count_large = ref 0

let take n =
  let free, count = if n = small then (free_small, count_small) else (free_large, count_large) in
  match !free with
  | b :: rest ->
      free := rest;
      decr count;
      b
  | [] -> Bytes.create n

let give b =
  let n = Bytes.length b in
  let free, count = if n = small then (free_small, count_small) else (free_large, count_large) in
  if !count < unused_max then (
    free := b :: !free;
    incr count)
