(* An array whose length is a power of two. *)
type 'a t = { mutable slots : 'a array; mutable first : int; mutable length : int; empty : 'a }

let create empty = { slots = Slots.make 64 empty; first = 0; length = 0; empty }
let length ring = ring.length
let slot ring i = (ring.first + i) land (Array.length ring.slots - 1)

let grow ring =
  let larger = Slots.make (2 * Array.length ring.slots) ring.empty in
  for i = 0 to ring.length - 1 do
    larger.(i) <- ring.slots.(slot ring i)
  done;
  ring.slots <- larger;
  ring.first <- 0

let rec reserve ring n =
  if n > Array.length ring.slots then (
    grow ring;
    reserve ring n)

let push ring v =
  if ring.length = Array.length ring.slots then grow ring;
  ring.slots.(slot ring ring.length) <- v;
  ring.length <- ring.length + 1

(* Exchanges element [i] with the first one. *)
let put_first ring i =
  let i = slot ring i in
  let v = ring.slots.(i) in
  ring.slots.(i) <- ring.slots.(ring.first);
  ring.slots.(ring.first) <- v

let pop ring =
  let v = ring.slots.(ring.first) in
  ring.slots.(ring.first) <- ring.empty;
  ring.first <- slot ring 1;
  ring.length <- ring.length - 1;
  v
