include Output

let create ?(size = 4096) d =
  if size < 16 || size > Sys.max_string_length then
    invalid_arg "Soil.Writer.create: size out of range";
  {
    descriptor = Typed.any d;
    buffer = Bytes.create size;
    first = 0;
    last = 0;
    front = [];
    written = 0;
    back = [];
    queued = 0;
  }

let with_ ?size d f =
  let w = create ?size d in
  let result = f w in
  flush w;
  result

let uint8 w n =
  let at = room w 1 in
  Bytes.set_uint8 w.buffer at (n land 255)

let char w c = uint8 w (Char.code c)

let line w s =
  let len = String.length s in
  if len >= large w then string w (s ^ "\n")
  else
    let at = room w (len + 1) in
    blit (Bytes.unsafe_of_string s) 0 w.buffer at len;
    Bytes.unsafe_set w.buffer (at + len) '\n'

let bytes w b off len =
  Descriptor.check_bytes "Writer.bytes" b off len;
  add w b off len blit Bytes.sub_string

let string_of_buffer b off len =
  let copy = Bytes.create len in
  Pool.to_bytes b off copy 0 len;
  Bytes.unsafe_to_string copy

let buffer w b off len =
  Descriptor.check_buffer "Writer.buffer" b off len;
  add w b off len Pool.to_bytes string_of_buffer

let tie w (r : Input.t) = r.before_read <- (fun () -> flush w)

module Text = Writer_text
module Printf = Writer_printf
module BE = Writer_be
module LE = Writer_le
