module D = Soil.File_descriptor

(* [f] for the range of [c] in its bigarray. *)
let within f (c : Cstruct.t) = f c.buffer c.off c.len
let read d c = within (D.read_into d) c

let rec really_read d c =
  if not (Cstruct.is_empty c) then
    match read d c with 0 -> raise End_of_file | n -> really_read d (Cstruct.shift c n)

let write d c = within (D.write_from d) c
let writev d l = List.iter (write d) l
let input r c = within (Soil.Reader.Bigarray.input r) c
let output w c = within (Soil.Writer.buffer w) c
let pread d ~position c = within (Soil.Fs.pread_into d ~position) c
let pwrite d ~position c = within (Soil.Fs.pwrite_from d ~position) c
let of_buffer b = Cstruct.of_bigarray b
