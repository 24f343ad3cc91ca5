(* A model of a tree of files, as immutable values: the states before and after a change can both be
   examined. *)

module Names = Map.Make (String)
module Numbers = Map.Make (Int)

(* Bytes of a piece. *)
let unit = 4096

(* Zeros where no piece is. *)
type contents = { size : int; pieces : string Numbers.t }
type node = File of int | Directory of node Names.t | Symlink of string

(* [names]: how many a file has; an open one may have none. *)
type file = { contents : contents; names : int }
type t = { root : node Names.t; files : file Numbers.t; next : int; bytes : int }

let empty = { root = Names.empty; files = Numbers.empty; next = 0; bytes = 0 }
let nothing = { size = 0; pieces = Numbers.empty }

(* Contents *)

let zeros = String.make unit '\000'
let piece c n = Option.value (Numbers.find_opt n c.pieces) ~default:zeros

let put c n s =
  let pieces = if s = zeros then Numbers.remove n c.pieces else Numbers.add n s c.pieces in
  { c with pieces }

let read c position len =
  let len = max 0 (min len (c.size - position)) in
  let result = Bytes.make len '\000' in
  let rec go at =
    if at < len then (
      let place = position + at in
      let inside = place mod unit in
      let n = min (unit - inside) (len - at) in
      Bytes.blit_string (piece c (place / unit)) inside result at n;
      go (at + n))
  in
  go 0;
  Bytes.unsafe_to_string result

let write c position s =
  let len = String.length s in
  let rec go c at =
    if at = len then c
    else
      let place = position + at in
      let inside = place mod unit in
      let n = min (unit - inside) (len - at) in
      let b = Bytes.of_string (piece c (place / unit)) in
      Bytes.blit_string s at b inside n;
      go (put c (place / unit) (Bytes.unsafe_to_string b)) (at + n)
  in
  if len = 0 then c else go { c with size = max c.size (position + len) } 0

(* Zeros in a range, as far as the file goes. *)
let zero c position len =
  let len = max 0 (min len (c.size - position)) in
  write c position (String.make len '\000')

let truncate c size =
  if size >= c.size then { c with size }
  else
    let last = size / unit in
    let kept = Numbers.filter (fun n _ -> n <= last) c.pieces in
    let c = { size; pieces = kept } in
    let inside = size mod unit in
    put c last (String.sub (piece c last) 0 inside ^ String.make (unit - inside) '\000')

(* Names. Paths are lists of names, outermost first. *)

let rec find_in entries = function
  | [] -> Some (Directory entries)
  | [ name ] -> Names.find_opt name entries
  | name :: rest -> (
      match Names.find_opt name entries with
      | Some (Directory inside) -> find_in inside rest
      | _ -> None)

let find t path = find_in t.root path

let entries t path =
  match find t path with Some (Directory entries) -> entries | _ -> invalid_arg "entries"

let rec change_in entries path change =
  match path with
  | [] -> invalid_arg "change"
  | [ name ] -> Names.update name change entries
  | name :: rest ->
      let inside = function
        | Some (Directory inside) -> Some (Directory (change_in inside rest change))
        | _ -> invalid_arg "change"
      in
      Names.update name inside entries

let set t path node = { t with root = change_in t.root path (fun _ -> node) }

(* [count n] more names of a file; one without names goes, unless it is open. *)
let count t ~is_open number by =
  let file = Numbers.find number t.files in
  let names = file.names + by in
  if names > 0 || is_open number then
    { t with files = Numbers.add number { file with names } t.files }
  else { t with files = Numbers.remove number t.files; bytes = t.bytes - file.contents.size }

let contents t number = (Numbers.find number t.files).contents

let set_contents t number contents =
  let file = Numbers.find number t.files in
  let bytes = t.bytes - file.contents.size + contents.size in
  { t with files = Numbers.add number { file with contents } t.files; bytes }

let create t path =
  let number = t.next in
  let file = { contents = nothing; names = 1 } in
  set
    { t with next = number + 1; files = Numbers.add number file t.files }
    path (Some (File number))

let remove t ~is_open path =
  match find t path with
  | Some (File number) -> count (set t path None) ~is_open number (-1)
  | _ -> set t path None

let link t ~is_open number path = count (set t path (Some (File number))) ~is_open number 1

(* To a free name, or over what may be replaced. *)
let rename t ~is_open a b =
  match (find t a, find t b) with
  | Some (File m), Some (File n) when m = n -> t
  | node, _ -> set (set (remove t ~is_open b) a None) b node

(* Neither is in the other. *)
let exchange t a b =
  let first = find t a and second = find t b in
  set (set t a second) b first

(* Lines that say what all of it is; files with their numbers of names, and their contents. *)
let rec describe t ~links at entries add =
  Names.iter
    (fun name node ->
      let path = at ^ "/" ^ name in
      match node with
      | Directory inside ->
          add (Printf.sprintf "directory %s" path);
          describe t ~links path inside add
      | Symlink target -> add (Printf.sprintf "link %s to %s" path target)
      | File number ->
          let { contents = c; names } = Numbers.find number t.files in
          let digest = Digest.to_hex (Digest.string (read c 0 c.size)) in
          add (Printf.sprintf "file %s %d %s" digest (if links then names else 1) path))
    entries
