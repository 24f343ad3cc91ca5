module Keys = Map.Make (struct
  type t = int * int * int

  let compare (a, b, c) (d, e, f) =
    match Int.compare a d with
    | 0 -> ( match Int.compare b e with 0 -> Int.compare c f | order -> order)
    | order -> order
end)

type 'a t = { mutable events : 'a Keys.t; mutable added : int }

let create () = { events = Keys.empty; added = 0 }

let add heap ~at ~order event =
  heap.added <- heap.added + 1;
  heap.events <- Keys.add (at, order, heap.added) event heap.events

let next heap =
  match Keys.min_binding_opt heap.events with Some ((at, _, _), _) -> at | None -> max_int

let take heap =
  let key, event = Keys.min_binding heap.events in
  heap.events <- Keys.remove key heap.events;
  event
