type opcode = Continuation | Text | Binary | Close | Ping | Pong
type head = { final : bool; opcode : opcode; length : int; mask : int32 option }

exception Wrong of string

let wrong reason = raise (Wrong reason)

let opcode_of_int = function
  | 0 -> Continuation
  | 1 -> Text
  | 2 -> Binary
  | 8 -> Close
  | 9 -> Ping
  | 10 -> Pong
  | _ -> wrong "unknown opcode"

let int_of_opcode = function
  | Continuation -> 0
  | Text -> 1
  | Binary -> 2
  | Close -> 8
  | Ping -> 9
  | Pong -> 10

let is_control = function Close | Ping | Pong -> true | Continuation | Text | Binary -> false

let rec ensure input n =
  if Input.buffered input < n then
    if Input.more input then ensure input n else Soil_backtrace.raise End_of_file

let byte input i = Char.code (Input.get input i)

let rec number input at n acc =
  if n = 0 then acc else number input (at + 1) (n - 1) ((acc lsl 8) lor byte input at)

let head input =
  ensure input 2;
  let first = byte input 0 and second = byte input 1 in
  if first land 0x70 <> 0 then wrong "reserved bits";
  let final = first land 0x80 <> 0 and opcode = opcode_of_int (first land 15) in
  let is_masked = second land 0x80 <> 0 and short = second land 127 in
  let extended = if short = 126 then 2 else if short = 127 then 8 else 0 in
  if is_control opcode && (extended > 0 || not final) then wrong "control frame";
  let mask_at = 2 + extended in
  let size = if is_masked then mask_at + 4 else mask_at in
  ensure input size;
  (* OCaml's integers have 63 bits, of which the last is a sign. *)
  if extended = 8 && byte input 2 land 0xc0 <> 0 then wrong "length";
  let length = if extended = 0 then short else number input 2 extended 0 in
  if (extended = 2 && length < 126) || (extended = 8 && length < 65536) then wrong "length";
  let mask = if is_masked then Some (Int32.of_int (number input mask_at 4 0)) else None in
  Input.skip input size;
  { final; opcode; length; mask }

(* The mask's first byte is its high one. *)
let apply_mask mask b =
  let twice = Int64.logand (Int64.of_int32 mask) 0xffff_ffffL in
  let twice = Int64.logor (Int64.shift_left twice 32) twice in
  let length = Bytes.length b in
  let whole = length land lnot 7 in
  let rec words i =
    if i < whole then (
      Bytes.set_int64_be b i (Int64.logxor (Bytes.get_int64_be b i) twice);
      words (i + 8))
  in
  words 0;
  for i = whole to length - 1 do
    let key = Int32.to_int (Int32.shift_right_logical mask (8 * (3 - (i land 3)))) land 255 in
    Bytes.set_uint8 b i (Bytes.get_uint8 b i lxor key)
  done

let first_bytes = 4096

(* Memory follows what has come: the length is only what the peer announces. *)
let payload input ~came h =
  let extend b n =
    Input.count input n;
    Bytes.extend b 0 n
  in
  let rec fill b at =
    if at = h.length then b
    else
      let room = Bytes.length b - at in
      if room = 0 then fill (extend b (min at (h.length - at))) at
      else (
        came at;
        match Input.read input b at room with
        | 0 -> Soil_backtrace.raise End_of_file
        | n -> fill b (at + n))
  in
  let b = fill (extend Bytes.empty (min first_bytes h.length)) 0 in
  Option.iter (fun mask -> apply_mask mask b) h.mask;
  Bytes.unsafe_to_string b

let encode ?mask ?(final = true) opcode payload =
  let b = Buffer.create 14 in
  let length = String.length payload in
  let bit = if mask = None then 0 else 0x80 in
  Buffer.add_uint8 b ((if final then 0x80 else 0) lor int_of_opcode opcode);
  if length < 126 then Buffer.add_uint8 b (bit lor length)
  else if length < 65536 then (
    Buffer.add_uint8 b (bit lor 126);
    Buffer.add_uint16_be b length)
  else (
    Buffer.add_uint8 b (bit lor 127);
    Buffer.add_int64_be b (Int64.of_int length));
  match mask with
  | None -> (Buffer.contents b, payload)
  | Some mask ->
      Buffer.add_int32_be b mask;
      let masked = Bytes.of_string payload in
      apply_mask mask masked;
      (Buffer.contents b, Bytes.unsafe_to_string masked)
