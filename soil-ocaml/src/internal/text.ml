let number x =
  let s = string_of_float x in
  let n = String.length s - 1 in
  if s.[n] = '.' then String.sub s 0 n else s

let fetch check get =
  let rec go size =
    let b = Bytes.create size in
    let n = check (get b 0 size) in
    if n <= size then Bytes.sub_string b 0 n else go n
  in
  go 512
