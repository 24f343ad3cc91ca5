let hexadecimal = function
  | '0' .. '9' as c -> Char.code c - 48
  | 'a' .. 'f' as c -> Char.code c - 87
  | 'A' .. 'F' as c -> Char.code c - 55
  | _ -> -1

let decode ?(plus = '+') text =
  let length = String.length text in
  let b = Buffer.create length in
  let digit i = if i < length then hexadecimal text.[i] else -1 in
  let rec go i =
    if i = length then Some (Buffer.contents b)
    else
      match text.[i] with
      | '%' ->
          let high = digit (i + 1) and low = digit (i + 2) in
          if high < 0 || low < 0 then None
          else (
            Buffer.add_char b (Char.chr ((high * 16) + low));
            go (i + 3))
      | c ->
          Buffer.add_char b (if c = '+' then plus else c);
          go (i + 1)
  in
  go 0

let add b ~is_plain c =
  if is_plain c then Buffer.add_char b c else Printf.bprintf b "%%%02X" (Char.code c)
