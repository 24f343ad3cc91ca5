module Chunks = Map.Make (Stdlib.String)

(* A chunk is a run of entries: the length of a name, its number and the name. It begins with the
   name of its key, or behind that. Few large blocks without pointers cost the collector nothing. *)
type t = { mutable chunks : bytes Chunks.t; mutable memory : int }

let largest = 512
let fixed = 9

(* Of a chunk: its block, the node of the map, the key. *)
let overhead = 120
let create () = { chunks = Chunks.singleton "" Bytes.empty; memory = overhead }
let memory t = t.memory
let chunk t name = Chunks.find_last (fun first -> first <= name) t.chunks
let next b at = at + fixed + Bytes.get_uint8 b at
let name_at b at = Bytes.sub_string b (at + fixed) (Bytes.get_uint8 b at)
let number_at b at = Int64.to_int (Bytes.get_int64_le b (at + 1))
let is_entry b at name = at < Bytes.length b && String.compare (name_at b at) name = 0

(* The place of the first entry that isn't before [name]. *)
let rec seek b name at =
  if at < Bytes.length b && String.compare (name_at b at) name < 0 then seek b name (next b at)
  else at

let find t name =
  let _, b = chunk t name in
  let at = seek b name 0 in
  if is_entry b at name then number_at b at else -1

let part b from until = Bytes.sub b from (until - from)

let put t first b =
  let size = Bytes.length b in
  if size > largest then (
    let rec middle at = if at < size / 2 then middle (next b at) else at in
    let at = middle (next b 0) in
    t.memory <- t.memory + overhead;
    t.chunks <- Chunks.add first (part b 0 at) (Chunks.add (name_at b at) (part b at size) t.chunks))
  else if size = 0 && first <> "" then (
    t.memory <- t.memory - overhead;
    t.chunks <- Chunks.remove first t.chunks)
  else t.chunks <- Chunks.add first b t.chunks

(* Replaces [b] from [from] to [until] by [entry]. *)
let replace t first b from until entry =
  t.memory <- t.memory + Bytes.length entry - (until - from);
  put t first (Bytes.concat Bytes.empty [ part b 0 from; entry; part b until (Bytes.length b) ])

let set t name number =
  let first, b = chunk t name in
  let at = seek b name 0 in
  if is_entry b at name then (
    let old = number_at b at in
    Bytes.set_int64_le b (at + 1) (Int64.of_int number);
    old)
  else
    let entry = Bytes.create (fixed + String.length name) in
    Bytes.set_uint8 entry 0 (String.length name);
    Bytes.set_int64_le entry 1 (Int64.of_int number);
    Bytes.blit_string name 0 entry fixed (String.length name);
    replace t first b at at entry;
    -1

let remove t name =
  let first, b = chunk t name in
  let at = seek b name 0 in
  if is_entry b at name then replace t first b at (next b at) Bytes.empty

let after t name =
  let rec names b at rest () =
    if at < Bytes.length b then Seq.Cons (name_at b at, names b (next b at) rest) else rest ()
  in
  let rec chunks more () =
    match more () with Seq.Nil -> Seq.Nil | Cons ((_, b), more) -> names b 0 (chunks more) ()
  in
  let first, b = chunk t name in
  let at = seek b name 0 in
  let at = if is_entry b at name then next b at else at in
  let behind = Seq.drop 1 (Chunks.to_seq_from first t.chunks) in
  names b at (chunks behind)
