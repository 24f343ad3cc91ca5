external length : bytes -> int = "%bytes_length"
external get : bytes -> int -> char = "%bytes_safe_get"
external set : bytes -> int -> char -> unit = "%bytes_safe_set"
external unsafe_get : bytes -> int -> char = "%bytes_unsafe_get"
external unsafe_set : bytes -> int -> char -> unit = "%bytes_unsafe_set"
external create : int -> bytes = "caml_create_bytes"
external unsafe_to_string : bytes -> string = "%bytes_to_string"
external unsafe_of_string : string -> bytes = "%bytes_of_string"
external unsafe_fill : bytes -> int -> int -> char -> unit = "caml_fill_bytes" [@@noalloc]
external unsafe_blit : bytes -> int -> bytes -> int -> int -> unit = "caml_blit_bytes" [@@noalloc]

let check name b at len = if at < 0 || len < 0 || at > length b - len then invalid_arg name

let fill b at len c =
  check "String.fill / Bytes.fill" b at len;
  unsafe_fill b at len c

let blit_checked name src from dst at len =
  check name src from len;
  check name dst at len;
  unsafe_blit src from dst at len

let blit src from dst at len = blit_checked "Bytes.blit" src from dst at len

let blit_string src from dst at len =
  blit_checked "String.blit / Bytes.blit_string" (unsafe_of_string src) from dst at len

let empty = create 0

let sub b at len =
  check "String.sub / Bytes.sub" b at len;
  let part = create len in
  unsafe_blit b at part 0 len;
  part

let sub_string b at len = unsafe_to_string (sub b at len)
let of_string s = sub (unsafe_of_string s) 0 (length (unsafe_of_string s))

let extend b before after =
  let longer = create (length b + before + after) in
  (* What a negative number cuts off isn't copied. *)
  let from = max 0 (-before) and at = max 0 before in
  let len = min (length b - from) (length longer - at) in
  if len > 0 then unsafe_blit b from longer at len;
  longer

let concat separator pieces =
  let gap = length separator in
  let len = List.fold_left (fun sum piece -> sum + gap + length piece) (-gap) pieces in
  let whole = create (max 0 len) in
  let add at piece =
    unsafe_blit piece 0 whole at (length piece);
    let at = at + length piece in
    if at < len then unsafe_blit separator 0 whole at gap;
    at + gap
  in
  ignore (List.fold_left add 0 pieces);
  whole

let cat a b = concat empty [ a; b ]

external get_uint8 : bytes -> int -> int = "%bytes_safe_get"
external set_uint8 : bytes -> int -> int -> unit = "%bytes_safe_set"

(* In the order of the machine, which is little-endian wherever Soil runs. *)
external get_uint16_le : bytes -> int -> int = "%caml_bytes_get16"
external get_int32_le : bytes -> int -> int32 = "%caml_bytes_get32"
external get_int64_le : bytes -> int -> int64 = "%caml_bytes_get64"
external set_uint16_le : bytes -> int -> int -> unit = "%caml_bytes_set16"
external set_int32_le : bytes -> int -> int32 -> unit = "%caml_bytes_set32"
external set_int64_le : bytes -> int -> int64 -> unit = "%caml_bytes_set64"
external swap16 : int -> int = "%bswap16"
external swap32 : int32 -> int32 = "%bswap_int32"
external swap64 : int64 -> int64 = "%bswap_int64"

let[@inline] signed16 n = (n lsl (Sys.int_size - 16)) asr (Sys.int_size - 16)
let get_int16_le b at = signed16 (get_uint16_le b at)
let get_uint16_be b at = swap16 (get_uint16_le b at)
let get_int16_be b at = signed16 (get_uint16_be b at)
let get_int32_be b at = swap32 (get_int32_le b at)
let get_int64_be b at = swap64 (get_int64_le b at)
let set_uint16_be b at n = set_uint16_le b at (swap16 n)
let set_int32_be b at n = set_int32_le b at (swap32 n)
let set_int64_be b at n = set_int64_le b at (swap64 n)
