let encode s = Base64.encode_string ~pad:false s
let rec unpadded s n = if n > 0 && s.[n - 1] = '=' then unpadded s (n - 1) else n

let decode s =
  let n = unpadded s (String.length s) in
  if String.length s - n > 2 then None
  else Result.to_option (Base64.decode ~pad:false (String.sub s 0 n))

let percent s =
  let b = Buffer.create (String.length s) in
  String.iter
    (function
      | '%' -> Buffer.add_string b "%25"
      | ' ' .. '~' as c -> Buffer.add_char b c
      | c -> Printf.bprintf b "%%%02X" (Char.code c))
    s;
  Buffer.contents b

let digit = function
  | '0' .. '9' as c -> Char.code c - 48
  | 'a' .. 'f' as c -> Char.code c - 87
  | 'A' .. 'F' as c -> Char.code c - 55
  | _ -> -1

let of_percent s =
  let b = Buffer.create (String.length s) in
  let rec go i =
    if i < String.length s then
      let is_escape =
        s.[i] = '%' && i + 2 < String.length s && digit s.[i + 1] >= 0 && digit s.[i + 2] >= 0
      in
      if is_escape then (
        Buffer.add_uint8 b ((digit s.[i + 1] * 16) + digit s.[i + 2]);
        go (i + 3))
      else (
        Buffer.add_char b s.[i];
        go (i + 1))
  in
  go 0;
  Buffer.contents b
