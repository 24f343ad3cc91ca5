(* The OCaml side of roundtrip.rs. *)

let ints n = Bigarray.Array1.create Bigarray.int Bigarray.c_layout n
let buffer n = Bigarray.Array1.create Bigarray.char Bigarray.c_layout n

let pipe () =
  let ends = ints 2 in
  if Soil_raw.pipe 64 ends <> 0 then failwith "pipe";
  (ends.{0}, ends.{1})

(* [text] through a pipe of 64 bytes and back. *)
let roundtrip text =
  let input, output = pipe () in
  let from = Bytes.of_string text in
  let into = Bytes.create 50 in
  let back = Buffer.create 100 in
  let rec send off =
    if off < Bytes.length from then (
      let n = Soil_raw.fd_write output from off (Bytes.length from - off) in
      if n < 0 && n <> Soil_raw.would_block then failwith "write";
      let n' = Soil_raw.fd_read input into 0 (Bytes.length into) in
      if n' > 0 then Buffer.add_subbytes back into 0 n';
      send (off + max n 0))
  in
  send 0;
  ignore (Soil_raw.fd_close output);
  let rec rest () =
    match Soil_raw.fd_read input into 0 (Bytes.length into) with
    | 0 -> ()
    | n ->
        Buffer.add_subbytes back into 0 n;
        rest ()
  in
  rest ();
  ignore (Soil_raw.fd_close input);
  Buffer.contents back

(* How many of the calls with this offset and length answer otherwise than they should: [Invalid]
   for what is no part of the bytes or buffer, of 16 each. *)
let hostile off len =
  let input, output = pipe () in
  let bytes = Bytes.create 16 and big = buffer 16 in
  let fits = off >= 0 && len >= 0 && off <= 16 && len <= 16 - off in
  let wrong answer = if answer = -1 = fits then 1 else 0 in
  let a = wrong (Soil_raw.fd_write output bytes off len) in
  let b = wrong (Soil_raw.fd_read input bytes off len) in
  let c = wrong (Soil_raw.fd_write_buffer output big off len) in
  let d = wrong (Soil_raw.fd_read_buffer input big off len) in
  let e = wrong (Soil_raw.error_detail bytes off len) in
  ignore (Soil_raw.fd_close input);
  ignore (Soil_raw.fd_close output);
  (* Numbers that are no descriptors. *)
  let f = if List.mem (Soil_raw.fd_close off) [ 0; -2 ] then 0 else 1 in
  let g = if List.mem (Soil_raw.fd_park input off len) [ -1; -2 ] then 0 else 1 in
  a + b + c + d + e + f + g

(* Parks, completes by a write, and waits: the token that comes back. *)
let park token =
  let input, output = pipe () in
  let completions = ints 4 in
  if Soil_raw.fd_park input Soil_raw.park_read token <> Soil_raw.pending then failwith "park";
  if Soil_raw.wait 0 completions 2 <> 0 then failwith "early";
  if Soil_raw.fd_write output (Bytes.of_string "x") 0 1 <> 1 then failwith "write";
  if Soil_raw.wait (-1) completions 2 <> 1 then failwith "wait";
  if completions.{1} <> 0 then failwith "result";
  ignore (Soil_raw.fd_close input);
  ignore (Soil_raw.fd_close output);
  completions.{0}

let () =
  Callback.register "roundtrip" roundtrip;
  Callback.register "hostile" hostile;
  Callback.register "park" park
