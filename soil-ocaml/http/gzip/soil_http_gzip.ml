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
