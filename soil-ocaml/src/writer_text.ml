open Output

(* Of negative numbers, which have room for [min_int]. *)
let rec length n = if n > -10 then 1 else 1 + length (n / 10)

(* Writes the digits of [-n] before offset [at]. *)
let rec digits b at n =
  let rest = n / 10 in
  Bytes.unsafe_set b (at - 1) (Char.unsafe_chr (Char.code '0' + (10 * rest) - n));
  if rest < 0 then digits b (at - 1) rest

let int w n =
  let negative = if n < 0 then n else -n in
  let length = length negative + if n < 0 then 1 else 0 in
  (* The smallest buffer has 16 bytes. *)
  if length > 16 then string w (string_of_int n)
  else
    let at = room w length in
    if n < 0 then Bytes.unsafe_set w.buffer at '-';
    digits w.buffer (at + length) negative
