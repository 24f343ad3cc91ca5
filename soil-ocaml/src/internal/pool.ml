type buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t

external create_array :
  ('a, 'b) Bigarray.kind -> 'c Bigarray.layout -> int array -> ('a, 'b, 'c) Bigarray.Array1.t
  = "caml_ba_create"

let create n : buffer = create_array Bigarray.Char Bigarray.C_layout [| n |]
let empty = create 0

external sub : buffer -> int -> int -> buffer = "caml_ba_sub"

let size = 65536
let unused_max = 8 (* the most unused buffers in the pool *)
let free : buffer list ref = ref []
let guard = Guard.create ()

let rec take () =
  match !free with
  | [] -> create size
  | b :: rest as before -> if Guard.replace guard free before rest then b else take ()

(* Buffers that a device may still use, each of them with the number of its volume. *)
let lost : (int * buffer) list ref = ref []

let rec lose volume b =
  let before = !lost in
  let after = (volume, b) :: List.filter (fun (v, _) -> v <> volume) before in
  if not (Guard.replace guard lost before after) then lose volume b

let with_buffer f =
  let b = take () in
  let v = f b in
  (* Not after an exception: it may have left the device at work with the buffer. *)
  (let before = !free in
   if List.length before < unused_max then ignore (Guard.replace guard free before (b :: before)));
  v

external get64 : buffer -> int -> int64 = "%caml_bigstring_get64u"
external set64 : buffer -> int -> int64 -> unit = "%caml_bigstring_set64u"
external bytes_get64 : bytes -> int -> int64 = "%caml_bytes_get64u"
external bytes_set64 : bytes -> int -> int64 -> unit = "%caml_bytes_set64u"

let to_bytes (src : buffer) src_off dst dst_off len =
  let words = len land lnot 7 in
  let i = ref 0 in
  while !i < words do
    bytes_set64 dst (dst_off + !i) (get64 src (src_off + !i));
    i := !i + 8
  done;
  for i = words to len - 1 do
    Bytes.unsafe_set dst (dst_off + i) (Bigarray.Array1.unsafe_get src (src_off + i))
  done

let of_bytes src src_off (dst : buffer) dst_off len =
  let words = len land lnot 7 in
  let i = ref 0 in
  while !i < words do
    set64 dst (dst_off + !i) (bytes_get64 src (src_off + !i));
    i := !i + 8
  done;
  for i = words to len - 1 do
    Bigarray.Array1.unsafe_set dst (dst_off + i) (Bytes.unsafe_get src (src_off + i))
  done
