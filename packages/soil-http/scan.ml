(** Scans of bytes, eight at a time: each byte of a head is scanned two or three times. Private to
    [soil-http]. *)

let ones = 0x0101010101010101L
let high_bits = 0x8080808080808080L
let[@inline] all_of c = Int64.mul ones (Int64.of_int (Char.code c))

(* In the high bits of [less word c]: whether a byte of [word] is less than [c], at most 128. Bits
   above that byte say nothing. *)
let[@inline] less word c = Int64.logand (Int64.sub word (all_of c)) (Int64.lognot word)
let[@inline] contains word c = less (Int64.logxor word (all_of c)) '\001'
let[@inline] is_clear word = Int64.logand word high_bits = 0L

let rec index_byte b c i last =
  if i >= last || Bytes.unsafe_get b i = c then i else index_byte b c (i + 1) last

(** [index b c first last] is the index of the first [c] in bytes [first … last - 1] of [b], or at
    least [last]. *)
let index b c first last =
  let i = ref first in
  while !i + 8 <= last && is_clear (contains (Bytes.get_int64_ne b !i) c) do
    i := !i + 8
  done;
  index_byte b c !i last

let[@inline] is_printable word = is_clear (Int64.logor (less word ' ') (contains word '\127'))

(** [printable s] is the number of leading bytes of [s], rounded down to a multiple of eight, that
    aren't control characters. *)
let printable s =
  let i = ref 0 in
  while !i + 8 <= String.length s && is_printable (String.get_int64_ne s !i) do
    i := !i + 8
  done;
  !i
