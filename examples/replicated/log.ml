module Entries = Map.Make (Int)

type t = { base : int; base_term : int; last : int; entries : Message.entry Entries.t }

let create ~base ~base_term = { base; base_term; last = base; entries = Entries.empty }
let base l = l.base
let last l = l.last
let entry l index = Entries.find index l.entries

let term l index =
  if index = l.base then Some l.base_term
  else Option.map (fun (e : Message.entry) -> e.term) (Entries.find_opt index l.entries)

let last_term l = Option.get (term l l.last)

let append l entry =
  let last = l.last + 1 in
  { l with last; entries = Entries.add last entry l.entries }

let truncate l index =
  let kept, _, _ = Entries.split index l.entries in
  { l with last = min l.last (max l.base (index - 1)); entries = kept }

let drop l index =
  match term l index with
  | None -> invalid_arg "Log.drop: no such entry"
  | Some base_term ->
      let _, _, kept = Entries.split index l.entries in
      { l with base = index; base_term; entries = kept }

let range l first last = List.init (max 0 (last - first + 1)) (fun i -> entry l (first + i))
