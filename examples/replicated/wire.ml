exception Malformed of string

let malformed format = Printf.ksprintf (fun reason -> raise (Malformed reason)) format

type 'a encoder = Buffer.t -> 'a -> unit

let byte = Buffer.add_uint8
let int b n = Buffer.add_int64_be b (Int64.of_int n)
let bool b v = byte b (Bool.to_int v)

let string b s =
  Buffer.add_int32_be b (Int32.of_int (String.length s));
  Buffer.add_string b s

let option f b = function
  | None -> bool b false
  | Some v ->
      bool b true;
      f b v

let list f b l =
  Buffer.add_int32_be b (Int32.of_int (List.length l));
  List.iter (f b) l

let encode f v =
  let b = Buffer.create 256 in
  f b v;
  Buffer.contents b

type input = { bytes : string; mutable position : int }
type 'a decoder = input -> 'a

(* The position of the next [n] bytes, which are consumed. *)
let take i n =
  let at = i.position in
  if n < 0 || n > String.length i.bytes - at then
    malformed "%d bytes where %d were expected" (String.length i.bytes - at) n;
  i.position <- at + n;
  at

let to_byte i = String.get_uint8 i.bytes (take i 1)

let to_int i =
  let n = String.get_int64_be i.bytes (take i 8) in
  if n < 0L || n > Int64.of_int max_int then malformed "number %Lu out of range" n;
  Int64.to_int n

let to_bool i = match to_byte i with 0 -> false | 1 -> true | n -> malformed "boolean %d" n
let to_length i = Int32.to_int (String.get_int32_be i.bytes (take i 4)) land 0xffff_ffff

let to_string i =
  let n = to_length i in
  String.sub i.bytes (take i n) n

let to_option f i = if to_bool i then Some (f i) else None

(* Each element takes at least a byte, so that a wrong length ends soon, and takes no memory. *)
let to_list f i =
  let rec elements n l = if n = 0 then List.rev l else elements (n - 1) (f i :: l) in
  elements (to_length i) []

let unknown what tag = malformed "unknown %s %d" what tag

let decode f bytes =
  let i = { bytes; position = 0 } in
  let v = f i in
  if i.position < String.length bytes then
    malformed "%d bytes after the end" (String.length bytes - i.position);
  v

let max_frame = 4 lsl 20
let max_request = 3 lsl 20

let read_frame ~max r =
  let n = Soil.Reader.BE.uint32 r in
  if n > max then malformed "frame of %d bytes, more than %d" n max;
  Soil.Reader.take r n

let write_frame w body =
  Soil.Writer.BE.uint32 w (String.length body);
  Soil.Writer.string w body
