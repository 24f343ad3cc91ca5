(* A binary heap in an array; each timer knows its place, so that it can be removed.

   A handler of a signal may raise an exception out of any loop and wherever memory is taken. So the
   heap is always whole but for one timer, at [misplaced], that may be too deep or too high. It is
   moved by exchanges that allocate nothing, so that no handler runs within one, and the next
   operation continues where an interrupted one stopped. *)

type 'a timer = { mutable at : int; mutable order : int; value : 'a; mutable place : int }

type 'a t = {
  mutable heap : 'a timer array;
  mutable length : int;
  mutable added : int;
  mutable misplaced : int;
}

let absent = -1
let create () = { heap = [||]; length = 0; added = 0; misplaced = absent }
let timer ~at value = { at; order = 0; value; place = absent }
let is_empty s = s.length = 0
let before a b = a.at < b.at || (a.at = b.at && a.order < b.order)

let[@inline] put s timer place =
  s.heap.(place) <- timer;
  timer.place <- place

let[@poll error] exchange s place other =
  let timer = s.heap.(place) in
  put s s.heap.(other) place;
  put s timer other;
  s.misplaced <- other

let rec restore s =
  let place = s.misplaced in
  if place <> absent then
    let parent = (place - 1) / 2 and left = (2 * place) + 1 in
    let right = left + 1 in
    let child = if right < s.length && before s.heap.(right) s.heap.(left) then right else left in
    if place > 0 && before s.heap.(place) s.heap.(parent) then (
      exchange s place parent;
      restore s)
    else if child < s.length && before s.heap.(child) s.heap.(place) then (
      exchange s place child;
      restore s)
    else s.misplaced <- absent

let[@poll error] put_last s timer =
  timer.order <- s.added;
  s.added <- s.added + 1;
  put s timer s.length;
  s.misplaced <- s.length;
  s.length <- s.length + 1

let add s timer =
  restore s;
  if s.length = Array.length s.heap then (
    let larger = Slots.make (max 16 (2 * s.length)) timer in
    Slots.blit s.heap 0 larger 0 s.length;
    s.heap <- larger);
  put_last s timer

let[@poll error] take_out s timer =
  let place = timer.place in
  timer.place <- absent;
  s.length <- s.length - 1;
  let last = s.heap.(s.length) in
  if last != timer then (
    put s last place;
    s.misplaced <- place);
  (* The slot past the end must not keep a timer alive: the root, or the last one itself, stands
     there until it is overwritten. *)
  if s.length = 0 then s.heap <- [||] else s.heap.(s.length) <- s.heap.(0)

let remove s timer =
  restore s;
  if timer.place <> absent then take_out s timer

let earliest s =
  restore s;
  s.heap.(0).at

let take_due s ~now =
  if s.length > 0 && earliest s <= now then (
    let timer = s.heap.(0) in
    let value = Some timer.value in
    take_out s timer;
    value)
  else None
