open Input

let uint8 r =
  let at = next r 1 in
  Bytes.get_uint8 r.buffer at

let uint16 r =
  let at = next r 2 in
  Bytes.get_uint16_be r.buffer at

let int16 r =
  let at = next r 2 in
  Bytes.get_int16_be r.buffer at

let int32 r =
  let at = next r 4 in
  Int32.to_int (Bytes.get_int32_be r.buffer at)

let uint32 r = int32 r land 0xffff_ffff

let uint64 r =
  let at = next r 8 in
  Bytes.get_int64_be r.buffer at

let float r = Int64.float_of_bits (uint64 r)
