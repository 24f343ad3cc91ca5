type 'a t = { mutable previous : 'a t; mutable next : 'a t; value : 'a option }

let create () =
  let rec ring = { previous = ring; next = ring; value = None } in
  ring

let is_empty ring = ring.next == ring

let add ring v =
  let entry = { previous = ring.previous; next = ring; value = Some v } in
  ring.previous.next <- entry;
  ring.previous <- entry;
  entry

let remove entry =
  entry.previous.next <- entry.next;
  entry.next.previous <- entry.previous;
  entry.previous <- entry;
  entry.next <- entry

let take ring =
  if is_empty ring then None
  else
    let entry = ring.next in
    remove entry;
    entry.value

let iter_while f ring =
  let rec go entry =
    let next = entry.next in
    match entry.value with Some v when f v -> go next | Some _ | None -> ()
  in
  go ring.next
