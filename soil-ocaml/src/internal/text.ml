let number x =
  let s = string_of_float x in
  let n = String.length s - 1 in
  if s.[n] = '.' then String.sub s 0 n else s

let value of_string_opt what s =
  match of_string_opt s with Some v -> v | None -> invalid_arg ("Soil.Net." ^ what ^ ": " ^ s)

let cut c s =
  match String.index_opt s c with
  | None -> (s, "")
  | Some i -> (String.sub s 0 i, String.sub s (i + 1) (String.length s - i - 1))

let fetch check get =
  let rec go size =
    let b = Bytes.create size in
    let n = check (get b 0 size) in
    if n <= size then Bytes.sub_string b 0 n else go n
  in
  go 512
