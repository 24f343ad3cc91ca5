let fetch check get =
  let rec go size =
    let b = Bytes.create size in
    let n = check (get b 0 size) in
    if n <= size then Bytes.sub_string b 0 n else go n
  in
  go 512
