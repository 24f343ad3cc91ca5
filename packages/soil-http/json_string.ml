(* A string of RFC 8259; what isn't UTF-8 is replaced. *)
let quoted text =
  let b = Buffer.create (String.length text + 2) in
  let rec go i =
    if i < String.length text then (
      let decoded = String.get_utf_8_uchar text i in
      (match Uchar.to_int (Uchar.utf_decode_uchar decoded) with
      | (0x22 | 0x5c) as c ->
          Buffer.add_char b '\\';
          Buffer.add_char b (Char.chr c)
      | c when c < 0x20 || c = 0x7f -> Printf.bprintf b "\\u%04x" c
      | _ -> Buffer.add_utf_8_uchar b (Uchar.utf_decode_uchar decoded));
      go (i + Uchar.utf_decode_length decoded))
  in
  Buffer.add_char b '"';
  go 0;
  Buffer.add_char b '"';
  Buffer.contents b
