module Reader = Soil.Reader

(* Writing *)

let compressed_flag = 1
let trailer_flag = 0x80
let prefix_bytes = 5

let flagged flag payload =
  let n = String.length payload in
  let b = Bytes.create (prefix_bytes + n) in
  Bytes.set_uint8 b 0 flag;
  Bytes.set_int32_be b 1 (Int32.of_int n);
  Bytes.blit_string payload 0 b prefix_bytes n;
  Bytes.unsafe_to_string b

let frame ?encoding ~hold payload =
  let flagged flag payload =
    hold (prefix_bytes + String.length payload);
    flagged flag payload
  in
  let bytes = String.length payload in
  Soil.Budget.hold_made bytes;
  Fun.protect ~finally:(fun () -> Soil.Budget.give_back bytes) @@ fun () ->
  match encoding with
  | None -> flagged 0 payload
  | Some e -> (
      match Encoding.compress e payload with
      | s -> flagged compressed_flag s
      | exception e when Soil.Budget.is_refusal e -> flagged 0 payload)

let trailer_frame fields =
  flagged trailer_flag
    (String.concat "" (List.map (fun (name, value) -> name ^ ": " ^ value ^ "\r\n") fields))

(* Reading *)

type partial = { is_compressed : bool; size : int; mutable bytes : bytes; mutable got : int }

type 'a reader = {
  input : Reader.t;
  encoding : unit -> Encoding.t option;
  at_end : unit -> unit;
  max : int;
  decode : string -> ('a, string) result;
  mutable partial : partial option;  (** The message that has begun. *)
  mutable was_compressed : bool;
  mutable held : int;  (** Bytes counted for the last message. *)
}

(* For prefixes: what doesn't fit is read to where it belongs. *)
let input_bytes = 512

let reader ?(encoding = fun () -> None) ?(at_end = ignore) ~max decode source =
  {
    input = Reader.create ~size:input_bytes source;
    encoding;
    at_end;
    max;
    decode;
    partial = None;
    was_compressed = false;
    held = 0;
  }

let was_compressed r = r.was_compressed

let hold r n =
  Soil.Budget.hold n;
  r.held <- r.held + n

let release r =
  if r.held > 0 then (
    Soil.Budget.give_back r.held;
    r.held <- 0)

let too_large r =
  Status.fail Resource_exhausted (Printf.sprintf "a message of more than %d bytes" r.max)

let malformed reason = Status.fail Internal ("a message is malformed" ^ reason)
let incomplete () = Status.fail Internal "the stream ends within a message"

let begin_message r =
  let prefix = try Reader.take r.input prefix_bytes with End_of_file -> incomplete () in
  let size = Int32.to_int (String.get_int32_be prefix 1) land 0xffff_ffff in
  let flag = Char.code prefix.[0] in
  if flag > compressed_flag then Status.fail Internal "a message with an unknown flag";
  let is_compressed = flag = compressed_flag in
  if is_compressed && Option.is_none (r.encoding ()) then
    Status.fail Internal "a compressed message without a known grpc-encoding";
  if size > r.max then too_large r;
  let p = { is_compressed; size; bytes = Bytes.empty; got = 0 } in
  r.partial <- Some p;
  p

let first_bytes = 4096

(* The size is only what the peer announces. *)
let rec fill r p =
  if p.got < p.size then
    let room = Bytes.length p.bytes in
    if p.got = room then (
      let more = min p.size (max first_bytes (2 * room)) - room in
      hold r more;
      p.bytes <- Bytes.extend p.bytes 0 more;
      fill r p)
    else
      match Reader.input r.input p.bytes p.got (room - p.got) with
      | 0 -> incomplete ()
      | n ->
          p.got <- p.got + n;
          fill r p

let content r p =
  let text = Bytes.unsafe_to_string p.bytes in
  match r.encoding () with
  | Some e when p.is_compressed -> (
      match Encoding.decompress e ~max:r.max text with
      | Ok s ->
          (* Its decompressor has counted it until now. *)
          Soil.Budget.hold_made (String.length s);
          r.held <- r.held + String.length s;
          s
      | Error `Too_large -> too_large r
      | Error `Malformed -> Status.fail Internal "a compressed message is malformed")
  | _ -> text

let is_at_end r =
  Reader.at_end r.input
  &&
  (r.at_end ();
   true)

let take r =
  let p = match r.partial with Some p -> p | None -> begin_message r in
  fill r p;
  let text = content r p in
  (* Others may have used up the memory while it came. *)
  Soil.Budget.hold 0;
  r.partial <- None;
  r.was_compressed <- p.is_compressed;
  match r.decode text with
  | Ok v -> v
  | Error reason -> malformed (": " ^ reason)
  (* Generated code may raise for what it can't read. *)
  | exception ((Out_of_memory | Stack_overflow | Soil.Task.Cancelled) as e) -> raise e
  | exception _ -> malformed ""

let next r =
  if r.partial = None then release r;
  if r.partial = None && is_at_end r then None else Some (take r)

let only r =
  if is_at_end r then Status.fail Internal "no message";
  let v = take r in
  if not (is_at_end r) then Status.fail Internal "more than one message";
  v
