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
  (* Where [f] has failed it says that the output isn't complete. *)
  let finally () = try Zlib.deflate_end deflate with Zlib.Error _ -> () in
  Fun.protect ~finally @@ fun () ->
  let t = { deflate; output = Bytes.create 16384; send; checksum = 0l; length = 0 } in
  f t;
  finish t

let rec add_string t s off =
  if off < String.length s then (
    let n = min piece (String.length s - off) in
    add t (Bytes.unsafe_of_string s) off n Zlib.Z_NO_FLUSH;
    if off + n < String.length s then Soil.Task.yield ();
    add_string t s (off + n))

(* Texts that grow: [more n] counts [n] bytes before they are made. *)
type text = { more : int -> unit; mutable bytes : bytes; mutable length : int }

let first_bytes = 4096
let text more = { more; bytes = Bytes.empty; length = 0 }

let add_text t b n ~max =
  let needed = t.length + n and size = Bytes.length t.bytes in
  if needed > size then (
    let more = Int.max needed (Int.min max (Int.max first_bytes (2 * size))) - size in
    t.more more;
    t.bytes <- Bytes.extend t.bytes 0 more);
  Bytes.blit b 0 t.bytes t.length n;
  t.length <- needed

let contents t = Bytes.sub_string t.bytes 0 t.length

(* What zlib takes (zconf.h, "Memory requirements"), and a buffer. *)
let deflate_bytes = 300_000
let inflate_bytes = 65536

let compress ?(level = 6) s =
  check level;
  Soil.Budget.scratch @@ fun more ->
  more deflate_bytes;
  let text = text more in
  run_all ~level (fun output n -> add_text text output n ~max:max_int) (fun t -> add_string t s 0);
  contents text

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

(* What a file costs beside its bytes, in bytes: [inflateInit] clears its state. *)
let member_work = 4096

type decompression = {
  source : string;
  max : int;
  into : text;
  output : bytes;
  mutable work : int;  (** Bytes read and made since other tasks ran. *)
}

let worked d n =
  d.work <- d.work + n;
  if d.work >= piece then (
    d.work <- 0;
    Soil.Task.yield ())

(* The file that begins at [i] is added to the text; the first byte after it. *)
let rec member d i =
  let s = d.source in
  let start = head_end s i in
  if start > String.length s then raise_notrace Malformed;
  worked d (member_work + start - i);
  let inflate = Zlib.inflate_init false in
  let checksum = ref 0l and length = ref 0 in
  let rec go off =
    let finished, used, made =
      Zlib.inflate inflate (Bytes.unsafe_of_string s) off
        (min piece (String.length s - off))
        d.output 0 (Bytes.length d.output) Zlib.Z_SYNC_FLUSH
    in
    if d.into.length + made > d.max then raise_notrace Too_large;
    add_text d.into d.output made ~max:d.max;
    checksum := Zlib.update_crc !checksum d.output 0 made;
    length := !length + made;
    let off = off + used in
    if finished then off
    else if used = 0 && made = 0 then raise_notrace Malformed
    else (
      worked d (used + made);
      go off)
  in
  let i = Fun.protect ~finally:(fun () -> Zlib.inflate_end inflate) (fun () -> go start) in
  let is_right =
    i + 8 <= String.length s
    && String.get_int32_le s i = !checksum
    && String.get_int32_le s (i + 4) = Int32.of_int !length
  in
  if not is_right then raise_notrace Malformed;
  if i + 8 < String.length s then member d (i + 8)

let decompress ~max s =
  Soil.Budget.scratch @@ fun more ->
  more inflate_bytes;
  let into = text more in
  match member { source = s; max; into; output = Bytes.create 16384; work = 0 } 0 with
  | () -> Ok (contents into)
  | exception (Malformed | Zlib.Error _) -> Error `Malformed
  | exception Too_large -> Error `Too_large

let stream ~level write d =
  Soil.Budget.scratch @@ fun more ->
  more deflate_bytes;
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
