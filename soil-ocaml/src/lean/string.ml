external length : string -> int = "%string_length"
external get : string -> int -> char = "%string_safe_get"
external unsafe_get : string -> int -> char = "%string_unsafe_get"

let init n f =
  let b = Bytes.create n in
  for i = 0 to n - 1 do
    Bytes.unsafe_set b i (f i)
  done;
  Bytes.unsafe_to_string b

let make n c =
  let b = Bytes.create n in
  Bytes.fill b 0 n c;
  Bytes.unsafe_to_string b

let sub s at len = Bytes.sub_string (Bytes.unsafe_of_string s) at len

let concat separator pieces =
  let pieces = List.map Bytes.unsafe_of_string pieces in
  Bytes.unsafe_to_string (Bytes.concat (Bytes.unsafe_of_string separator) pieces)

let compare (a : string) b = compare a b

let fold_left f acc s =
  let acc = ref acc in
  for i = 0 to length s - 1 do
    acc := f !acc (unsafe_get s i)
  done;
  !acc

let iter f s = fold_left (fun () c -> f c) () s

(* The first place from [i] on whose character [p] accepts. *)
let rec find p s i =
  if i = length s then None else if p (unsafe_get s i) then Some i else find p s (i + 1)

let rec find_last p s i =
  if i < 0 then None else if p (unsafe_get s i) then Some i else find_last p s (i - 1)

let exists p s = find p s 0 <> None
let for_all p s = not (exists (fun c -> not (p c)) s)
let index_opt s c = find (Char.equal c) s 0
let rindex_opt s c = find_last (Char.equal c) s (length s - 1)
let contains s c = index_opt s c <> None
let starts_with ~prefix s = length prefix <= length s && sub s 0 (length prefix) = prefix

let split_on_char c s =
  let rec split at parts =
    match find_last (Char.equal c) s (at - 1) with
    | None -> sub s 0 at :: parts
    | Some i -> split i (sub s (i + 1) (at - i - 1) :: parts)
  in
  split (length s) []

let lowercase_ascii s = init (length s) (fun i -> Char.lowercase_ascii (unsafe_get s i))

let escaped s =
  (* Within the quotes of a string, not of a character. *)
  let escape = function '"' -> "\\\"" | '\'' -> "'" | c -> Char.escaped c in
  concat "" (List.init (length s) (fun i -> escape (unsafe_get s i)))

let get_uint16_be s at = Bytes.get_uint16_be (Bytes.unsafe_of_string s) at
