module D = Soil.File_descriptor

(* RFC 1952 §2.3: deflate, no time, an unknown system. *)
let head = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
let piece = 65536

type t = {
  deflate : Zlib.stream;
  output : bytes;
  send : bytes -> int -> unit;  (** The first bytes of [output]. *)
  mutable checksum : int32;
  mutable length : int;
}

(* zlib has more to give as long as it fills the output. *)
let rec run t b off len flush =
  let finished, used, made =
    Zlib.deflate t.deflate b off len t.output 0 (Bytes.length t.output) flush
  in
  if made > 0 then t.send t.output made;
  let is_full = made = Bytes.length t.output in
  if used < len || is_full || (flush = Zlib.Z_FINISH && not finished) then
    run t b (off + used) (len - used) flush

let add t b off len flush =
  t.checksum <- Zlib.update_crc t.checksum b off len;
  t.length <- t.length + len;
  run t b off len flush

let finish t =
  run t Bytes.empty 0 0 Zlib.Z_FINISH;
  let trailer = Bytes.create 8 in
  Bytes.set_int32_le trailer 0 t.checksum;
  Bytes.set_int32_le trailer 4 (Int32.of_int t.length);
  t.send trailer 8

let check level =
  if level < 1 || level > 9 then invalid_arg "Soil_http_gzip: level isn't between 1 and 9"

(* [f] adds all bytes. *)
let run_all ~level send f =
  send (Bytes.of_string head) (String.length head);
  let deflate = Zlib.deflate_init level false in
  Fun.protect ~finally:(fun () -> Zlib.deflate_end deflate) @@ fun () ->
  let t = { deflate; output = Bytes.create 16384; send; checksum = 0l; length = 0 } in
  f t;
  finish t

let rec add_string t s off =
  if off < String.length s then (
    let n = min piece (String.length s - off) in
    add t (Bytes.unsafe_of_string s) off n Zlib.Z_NO_FLUSH;
    if off + n < String.length s then Soil.Task.yield ();
    add_string t s (off + n))

let compress ?(level = 6) s =
  check level;
  let b = Buffer.create ((String.length s / 4) + 64) in
  run_all ~level (fun output n -> Buffer.add_subbytes b output 0 n) (fun t -> add_string t s 0);
  Buffer.contents b

(* Decompression *)

exception Malformed
exception Too_large

(* The first byte after the head that begins at [i] (RFC 1952 §2.3). *)
let head_end s i =
  let byte i = if i < String.length s then Char.code s.[i] else raise_notrace Malformed in
  let rec text i = if byte i = 0 then i + 1 else text (i + 1) in
  let flags = byte (i + 3) in
  if byte i <> 0x1f || byte (i + 1) <> 0x8b || byte (i + 2) <> 8 || flags land 0xe0 <> 0 then
    raise_notrace Malformed;
  let has bit = flags land bit <> 0 in
  let i = i + 10 in
  let i = if has 4 then i + 2 + byte i + (byte (i + 1) lsl 8) else i in
  let i = if has 8 then text i else i in
  let i = if has 16 then text i else i in
  if has 2 then i + 2 else i

(* The file that begins at [i] is added to [b]; the first byte after it. *)
let rec member b ~max output s i =
  let inflate = Zlib.inflate_init false in
  let checksum = ref 0l and length = ref 0 in
  let rec go off =
    let finished, used, made =
      Zlib.inflate inflate (Bytes.unsafe_of_string s) off
        (min piece (String.length s - off))
        output 0 (Bytes.length output) Zlib.Z_SYNC_FLUSH
    in
    if Buffer.length b + made > max then raise_notrace Too_large;
    Buffer.add_subbytes b output 0 made;
    checksum := Zlib.update_crc !checksum output 0 made;
    length := !length + made;
    let off = off + used in
    if finished then off
    else if used = 0 && made = 0 then raise_notrace Malformed
    else (
      if !length / piece <> (!length - made) / piece then Soil.Task.yield ();
      go off)
  in
  let i = head_end s i in
  if i > String.length s then raise_notrace Malformed;
  let i = Fun.protect ~finally:(fun () -> Zlib.inflate_end inflate) (fun () -> go i) in
  let is_right =
    i + 8 <= String.length s
    && String.get_int32_le s i = !checksum
    && String.get_int32_le s (i + 4) = Int32.of_int !length
  in
  if not is_right then raise_notrace Malformed;
  if i + 8 < String.length s then member b ~max output s (i + 8)

let decompress ~max s =
  let b = Buffer.create (min max 4096) in
  match member b ~max (Bytes.create 16384) s 0 with
  | () -> Ok (Buffer.contents b)
  | exception (Malformed | Zlib.Error _) -> Error `Malformed
  | exception Too_large -> Error `Too_large

let stream ~level write d =
  run_all ~level (fun output n -> D.write d output 0 n) @@ fun t ->
  let write_piece b off len =
    let n = min len piece in
    add t b off n Zlib.Z_SYNC_FLUSH;
    n
  in
  write (Soil.Flow.sink ~name:"gzip" write_piece)

let coding ?(level = 6) () =
  check level;
  Soil_http.Encoding.coding "gzip" ~string:(fun s -> compress ~level s) ~stream:(stream ~level)
