(* A binary heap in an array; each timer knows its place, so that it can be removed. *)

type 'a timer = { at : int; order : int; value : 'a; mutable place : int }
type 'a t = { mutable heap : 'a timer array; mutable length : int; mutable added : int }

let absent = -1
let create () = { heap = [||]; length = 0; added = 0 }
let is_empty s = s.length = 0
let before a b = a.at < b.at || (a.at = b.at && a.order < b.order)

let put s timer place =
  s.heap.(place) <- timer;
  timer.place <- place

let rec up s timer place =
  let parent = (place - 1) / 2 in
  if place > 0 && before timer s.heap.(parent) then (
    put s s.heap.(parent) place;
    up s timer parent)
  else put s timer place

let rec down s timer place =
  let left = (2 * place) + 1 in
  let right = left + 1 in
  let child = if right < s.length && before s.heap.(right) s.heap.(left) then right else left in
  if child < s.length && before s.heap.(child) timer then (
    put s s.heap.(child) place;
    down s timer child)
  else put s timer place

let add s ~at value =
  let timer = { at; order = s.added; value; place = absent } in
  s.added <- s.added + 1;
  if s.length = Array.length s.heap then (
    let larger = Slots.make (max 16 (2 * s.length)) timer in
    Slots.blit s.heap 0 larger 0 s.length;
    s.heap <- larger);
  s.length <- s.length + 1;
  up s timer (s.length - 1);
  timer

let remove s timer =
  if timer.place <> absent then (
    let place = timer.place in
    timer.place <- absent;
    s.length <- s.length - 1;
    let last = s.heap.(s.length) in
    (* The slot past the end must not keep a timer alive: the root, or the last one itself, stands
       there until it is overwritten. *)
    if s.length = 0 then s.heap <- [||]
    else (
      if last != timer then
        if place > 0 && before last s.heap.((place - 1) / 2) then up s last place
        else down s last place;
      s.heap.(s.length) <- s.heap.(0)))

let earliest s = s.heap.(0).at

let take_due s ~now =
  if s.length > 0 && earliest s <= now then (
    let timer = s.heap.(0) in
    remove s timer;
    Some timer.value)
  else None
