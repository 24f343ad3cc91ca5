open Output

let uint16 w n =
  let at = room w 2 in
  Bytes.set_uint16_le w.buffer at (n land 0xffff)

let uint32 w n =
  let at = room w 4 in
  Bytes.set_int32_le w.buffer at (Int32.of_int n)

let uint64 w n =
  let at = room w 8 in
  Bytes.set_int64_le w.buffer at n

let float w x = uint64 w (Int64.bits_of_float x)
