(* What several domains change of a ring, they change under its guard. *)
type 'a t = { mutable previous : 'a t; mutable next : 'a t; value : 'a option; guard : Guard.t }

let create_under guard =
  let rec ring = { previous = ring; next = ring; value = None; guard } in
  ring

let create () = create_under (Guard.create ())
let guard ring = ring.guard
let is_empty ring = ring.next == ring
let entry ring v = { previous = ring; next = ring; value = Some v; guard = ring.guard }

let link ring entry =
  entry.previous <- ring.previous;
  entry.next <- ring;
  ring.previous.next <- entry;
  ring.previous <- entry

let add ring v =
  let entry = entry ring v in
  link ring entry;
  entry

let remove entry =
  entry.previous.next <- entry.next;
  entry.next.previous <- entry.previous;
  entry.previous <- entry;
  entry.next <- entry

let is_linked entry = entry.next != entry

let take_entry ring =
  let entry = ring.next in
  if entry != ring then remove entry;
  entry

let value entry = entry.value
let take ring = value (take_entry ring)

let iter_while f ring =
  let rec go entry =
    let next = entry.next in
    match entry.value with Some v when f v -> go next | Some _ | None -> ()
  in
  go ring.next
