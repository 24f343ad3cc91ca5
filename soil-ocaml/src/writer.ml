open Output

type t = Output.t

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

let flush = Output.flush
let pending = Output.pending

let with_ ?size d f =
  let w = create ?size d in
  let result = f w in
  flush w;
  result

let uint8 w n =
  let at = room w 1 in
  Bytes.set_uint8 w.buffer at (n land 255)

let char w c = uint8 w (Char.code c)
let string = Output.string
let line w s = string w (s ^ "\n")

let bytes w b off len =
  Descriptor.check_bytes "Writer.bytes" b off len;
  add w len (fun at -> Bytes.blit b off w.buffer at len) (fun () -> Bytes.sub_string b off len)

let buffer w b off len =
  Descriptor.check_buffer "Writer.buffer" b off len;
  let copy () =
    let copy = Bytes.create len in
    Pool.to_bytes b off copy 0 len;
    Bytes.unsafe_to_string copy
  in
  add w len (fun at -> Pool.to_bytes b off w.buffer at len) copy

module Printf = Writer_printf
module BE = Writer_be
module LE = Writer_le
