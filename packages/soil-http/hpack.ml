exception Error of string
exception Too_large

let overhead = 32 (* what a field counts beside its name and value *)
let initial_table_bytes = 4096

(* RFC 7541 Appendix A; the first index is 1. *)
let static =
  [|
    (":authority", "");
    (":method", "GET");
    (":method", "POST");
    (":path", "/");
    (":path", "/index.html");
    (":scheme", "http");
    (":scheme", "https");
    (":status", "200");
    (":status", "204");
    (":status", "206");
    (":status", "304");
    (":status", "400");
    (":status", "404");
    (":status", "500");
    ("accept-charset", "");
    ("accept-encoding", "gzip, deflate");
    ("accept-language", "");
    ("accept-ranges", "");
    ("accept", "");
    ("access-control-allow-origin", "");
    ("age", "");
    ("allow", "");
    ("authorization", "");
    ("cache-control", "");
    ("content-disposition", "");
    ("content-encoding", "");
    ("content-language", "");
    ("content-length", "");
    ("content-location", "");
    ("content-range", "");
    ("content-type", "");
    ("cookie", "");
    ("date", "");
    ("etag", "");
    ("expect", "");
    ("expires", "");
    ("from", "");
    ("host", "");
    ("if-match", "");
    ("if-modified-since", "");
    ("if-none-match", "");
    ("if-range", "");
    ("if-unmodified-since", "");
    ("last-modified", "");
    ("link", "");
    ("location", "");
    ("max-forwards", "");
    ("proxy-authenticate", "");
    ("proxy-authorization", "");
    ("range", "");
    ("referer", "");
    ("refresh", "");
    ("retry-after", "");
    ("server", "");
    ("set-cookie", "");
    ("strict-transport-security", "");
    ("transfer-encoding", "");
    ("user-agent", "");
    ("vary", "");
    ("via", "");
    ("www-authenticate", "");
  |]

let static_count = Array.length static

module Huffman = struct
  (* RFC 7541 Appendix B: the number of bits of each symbol's code. The code is canonical, so that
     they determine it. The last symbol is the end of a string. *)
  let lengths =
    "\013\023\028\028\028\028\028\028\028\024\030\028\028\030\028\028\
     \028\028\028\028\028\028\030\028\028\028\028\028\028\028\028\028\
     \006\010\010\012\013\006\008\011\010\010\008\011\008\006\006\006\
     \005\005\005\006\006\006\006\006\006\006\007\008\015\006\012\010\
     \013\006\007\007\007\007\007\007\007\007\007\007\007\007\007\007\
     \007\007\007\007\007\007\007\007\008\007\008\013\019\013\014\006\
     \015\005\006\005\006\005\006\006\006\005\007\007\006\006\006\005\
     \006\007\006\005\005\006\007\007\007\007\007\015\011\014\013\028\
     \020\022\020\020\022\022\022\023\022\023\023\023\023\023\024\023\
     \024\024\022\023\024\023\023\023\023\021\022\023\022\023\023\024\
     \022\021\020\022\022\023\023\021\023\022\022\024\021\022\023\023\
     \021\021\022\021\023\022\023\023\020\022\022\022\023\022\022\023\
     \026\026\020\019\022\023\022\025\026\026\026\027\027\026\024\025\
     \019\021\026\027\027\026\027\024\021\021\026\026\028\027\027\027\
     \020\024\020\021\022\021\021\023\022\022\025\025\024\024\026\023\
     \026\027\026\026\027\027\027\027\027\028\027\027\027\027\027\026\
     \030" [@ocamlformat "disable"]

  let end_of_string = 256
  let max_bits = 30
  let short_bits = 9

  type t = {
    codes : int array; (* by symbol *)
    symbols : int array; (* in the order of their codes *)
    limits : int array; (* by length: the first 30 bits that begin with a longer code *)
    offsets : int array; (* by length: a code's place in [symbols], less the code *)
    short : Bytes.t; (* by the first 9 bits: symbol and length; 0 for a longer code *)
  }

  let make () =
    let t =
      {
        codes = Array.make 257 0;
        symbols = Array.make 257 0;
        limits = Array.make (max_bits + 1) 0;
        offsets = Array.make (max_bits + 1) 0;
        short = Bytes.make (2 lsl short_bits) '\000';
      }
    in
    let code = ref 0 and count = ref 0 in
    for length = 1 to max_bits do
      code := 2 * !code;
      t.offsets.(length) <- !count - !code;
      for symbol = 0 to end_of_string do
        if Char.code lengths.[symbol] = length then (
          t.codes.(symbol) <- !code;
          t.symbols.(!count) <- symbol;
          (if length <= short_bits then
             let free = short_bits - length in
             for i = !code lsl free to ((!code + 1) lsl free) - 1 do
               Bytes.set_uint16_ne t.short (2 * i) ((symbol lsl 4) lor length)
             done);
          incr code;
          incr count)
      done;
      t.limits.(length) <- !code lsl (max_bits - length)
    done;
    t

  (* Forced where a connection begins, so that other programs don't have it. *)
  let table = lazy (make ())

  let rec long_code t bits length =
    if bits < t.limits.(length) then
      let symbol = t.symbols.((bits lsr (max_bits - length)) + t.offsets.(length)) in
      (symbol lsl 5) lor length
    else long_code t bits (length + 1)

  (* The length of a decoded string. Its bytes go to [out] as far as they have space there. *)
  let decode t b offset length out =
    let stop = offset + length and space = Bytes.length out in
    let next = ref offset and count = ref 0 and goes_on = ref true in
    (* The last [have] bits of [bits] aren't decoded yet. *)
    let bits = ref 0 and have = ref 0 in
    while !goes_on do
      while !have < max_bits && !next < stop do
        bits := (!bits lsl 8) lor Bytes.get_uint8 b !next;
        have := !have + 8;
        incr next
      done;
      (* The end is followed by ones, as if the padding was longer. *)
      let first =
        if !have >= max_bits then !bits lsr (!have - max_bits)
        else
          let missing = max_bits - !have in
          (!bits lsl missing) lor ((1 lsl missing) - 1)
      in
      let short = Bytes.get_uint16_ne t.short (2 * (first lsr (max_bits - short_bits))) in
      let symbol, used =
        if short <> 0 then (short lsr 4, short land 15)
        else
          let code = long_code t first (short_bits + 1) in
          (code lsr 5, code land 31)
      in
      if used > !have then (
        if !have > 7 || !bits <> (1 lsl !have) - 1 then raise (Error "padding of a Huffman code");
        goes_on := false)
      else if symbol = end_of_string then raise (Error "end of string in a Huffman code")
      else (
        if !count < space then Bytes.unsafe_set out !count (Char.unsafe_chr symbol);
        incr count;
        have := !have - used;
        bits := !bits land ((1 lsl !have) - 1))
    done;
    !count

  let encoded_length s =
    let bits = ref 0 in
    for i = 0 to String.length s - 1 do
      bits := !bits + Char.code lengths.[Char.code s.[i]]
    done;
    (!bits + 7) / 8

  let encode t out s =
    let bits = ref 0 and have = ref 0 in
    for i = 0 to String.length s - 1 do
      let symbol = Char.code s.[i] in
      let length = Char.code lengths.[symbol] in
      bits := (!bits lsl length) lor t.codes.(symbol);
      have := !have + length;
      while !have >= 8 do
        have := !have - 8;
        Buffer.add_uint8 out ((!bits lsr !have) land 255)
      done;
      bits := !bits land ((1 lsl !have) - 1)
    done;
    if !have > 0 then
      let free = 8 - !have in
      Buffer.add_uint8 out ((!bits lsl free) lor ((1 lsl free) - 1))
end

(* The dynamic table: a ring, so that no number of entries makes a step longer. *)
module Table = struct
  type 'a t = {
    size : 'a -> int;
    mutable entries : 'a array; (* empty until the first entry *)
    mutable newest : int; (* its place *)
    mutable count : int;
    mutable bytes : int;
    mutable max_bytes : int;
    capacity : int;
  }

  let make ~bytes size =
    let capacity = bytes / overhead in
    { size; entries = [||]; newest = 0; count = 0; bytes = 0; max_bytes = bytes; capacity }

  (* Where entry [i] is; the newest is 0. *)
  let place t i = (t.newest - i + t.capacity) mod t.capacity
  let get t i = t.entries.(place t i)

  let rec shrink t bytes =
    if t.bytes > bytes then (
      let place = place t (t.count - 1) in
      t.bytes <- t.bytes - t.size t.entries.(place);
      t.count <- t.count - 1;
      (* The old entry can be freed. *)
      t.entries.(place) <- t.entries.(t.newest);
      shrink t bytes)

  let resize t bytes =
    t.max_bytes <- bytes;
    shrink t bytes;
    if t.count = 0 then t.entries <- [||]

  (* RFC 7541 §4.4: an entry larger than the table leaves it empty. *)
  let has_space t size =
    shrink t (max 0 (t.max_bytes - size));
    size <= t.max_bytes

  (* Adds an entry for which [has_space]. *)
  let add t entry =
    if t.entries == [||] then t.entries <- Array.make t.capacity entry;
    t.newest <- (t.newest + 1) mod t.capacity;
    t.entries.(t.newest) <- entry;
    t.count <- t.count + 1;
    t.bytes <- t.bytes + t.size entry
end

let field_size (name, value) = String.length name + String.length value + overhead

(* Decoding *)

type decoder = { table : (string * string) Table.t; max_table_bytes : int }
type input = { block : bytes; mutable next : int; stop : int }

(* A string of a block, or of a table, of which the length is known. *)
type text =
  | Known of string
  | Plain of { offset : int; length : int }
  | Coded of { offset : int; encoded : int; length : int }

let decoder ~table_bytes =
  ignore (Lazy.force Huffman.table);
  let max_table_bytes = max table_bytes initial_table_bytes in
  let table = Table.make ~bytes:max_table_bytes field_size in
  table.max_bytes <- initial_table_bytes;
  { table; max_table_bytes }

(* The rest of a field has to come. *)
exception Incomplete

let byte input =
  if input.next = input.stop then raise_notrace Incomplete;
  let c = Bytes.get_uint8 input.block input.next in
  input.next <- input.next + 1;
  c

let rec integer_rest input n shift =
  let c = byte input in
  let n = n + ((c land 127) lsl shift) in
  if c < 128 then n
  else if shift = 21 then raise (Error "integer too long")
  else integer_rest input n (shift + 7)

(* RFC 7541 §5.1. Four bytes after the first are enough for any length within a limit. *)
let integer input ~prefix first =
  let max = (1 lsl prefix) - 1 in
  let n = first land max in
  if n < max then n else integer_rest input n 0

(* A string as it is in a block. *)
type span = { at : int; bytes : int; is_coded : bool }

let span input =
  let first = byte input in
  let bytes = integer input ~prefix:7 first in
  { at = input.next; bytes; is_coded = first >= 128 }

let pass input span =
  if span.bytes > input.stop - span.at then raise_notrace Incomplete;
  input.next <- span.at + span.bytes

let measured input { at; bytes; is_coded } =
  if not is_coded then Plain { offset = at; length = bytes }
  else
    let huffman = Lazy.force Huffman.table in
    let decoded = Huffman.decode huffman input.block at bytes Bytes.empty in
    Coded { offset = at; encoded = bytes; length = decoded }

let text input =
  let span = span input in
  pass input span;
  measured input span

let text_length = function
  | Known s -> String.length s
  | Plain { length; _ } | Coded { length; _ } -> length

let text_string input = function
  | Known s -> s
  | Plain { offset; length } -> Bytes.sub_string input.block offset length
  | Coded { offset; encoded; length } ->
      let out = Bytes.create length in
      ignore (Huffman.decode (Lazy.force Huffman.table) input.block offset encoded out);
      Bytes.unsafe_to_string out

let indexed d index =
  if index = 0 then raise (Error "index 0")
  else if index <= static_count then static.(index - 1)
  else if index <= static_count + d.table.count then Table.get d.table (index - static_count - 1)
  else raise (Error "index beyond the table")

let is_table_size first = first land 0xe0 = 0x20

let set_table_bytes (d : decoder) input first =
  let bytes = integer input ~prefix:5 first in
  if bytes > d.max_table_bytes then raise (Error "table size beyond the setting");
  Table.resize d.table bytes

(* RFC 7541 §4.2: only at the beginning of a block, and two at most: the smallest size, the last. *)
let most_sizes = 2

let rec table_sizes d input ~allowed =
  if input.next < input.stop && is_table_size (Bytes.get_uint8 input.block input.next) then (
    if allowed = 0 then raise (Error "too many changes of the table's size");
    set_table_bytes d input (byte input);
    table_sizes d input ~allowed:(allowed - 1))

let input_of block offset length =
  if offset < 0 || length < 0 || length > Bytes.length block - offset then
    invalid_arg "Hpack: range";
  { block; next = offset; stop = offset + length }

let decode_complete d input ~max_bytes ~max_fields =
  let fields = ref [] and bytes = ref 0 and count = ref 0 in
  (* Once a field isn't kept, none is. *)
  let is_kept size =
    if !count <= max_fields && !bytes <= max_bytes then (
      incr count;
      bytes := !bytes + size);
    !count <= max_fields && !bytes <= max_bytes
  in
  let literal first ~prefix ~enters =
    let index = integer input ~prefix first in
    let name = if index = 0 then text input else Known (fst (indexed d index)) in
    let value = text input in
    let size = text_length name + text_length value + overhead in
    let is_kept = is_kept size in
    let enters = enters && Table.has_space d.table size in
    if is_kept || enters then (
      let field = (text_string input name, text_string input value) in
      if enters then Table.add d.table field;
      if is_kept then fields := field :: !fields)
  in
  table_sizes d input ~allowed:most_sizes;
  while input.next < input.stop do
    let first = byte input in
    if first >= 0x80 then (
      let field = indexed d (integer input ~prefix:7 first) in
      if is_kept (field_size field) then fields := field :: !fields)
    else if first >= 0x40 then literal first ~prefix:6 ~enters:true
    else if is_table_size first then raise (Error "table size within a block")
    else literal first ~prefix:4 ~enters:false
  done;
  if !count > max_fields || !bytes > max_bytes then raise Too_large;
  List.rev !fields

let truncated () = raise (Error "truncated block")

let decode d block offset length ~max_bytes ~max_fields =
  try decode_complete d (input_of block offset length) ~max_bytes ~max_fields
  with Incomplete -> truncated ()

(* Blocks of which only the table is kept *)

type skipping = {
  mutable sizes : int; (* Changes of the table's size that may come. *)
  mutable left : int; (* Bytes of a string that go by. *)
  mutable has_value : bool; (* They are a name, behind which a value comes. *)
}

let skipping () = { sizes = most_sizes; left = 0; has_value = false }

(* A table has no space for a longer string: the longest code has 30 bits. *)
let longest_entering (d : decoder) = 4 * d.max_table_bytes

(* Nothing changes unless all of the field is there. *)
let skip_literal d s input first =
  let enters = first >= 0x40 in
  let let_by span ~has_value =
    if enters then ignore (Table.has_space d.table max_int);
    s.left <- span.bytes;
    s.has_value <- has_value
  in
  let value name =
    let value = span input in
    if value.bytes > longest_entering d then let_by value ~has_value:false
    else (
      pass input value;
      if enters then
        let name = name () and value = measured input value in
        let size = text_length name + text_length value + overhead in
        if Table.has_space d.table size then
          Table.add d.table (text_string input name, text_string input value))
  in
  match integer input ~prefix:(if enters then 6 else 4) first with
  | 0 ->
      let name = span input in
      if name.bytes > longest_entering d then let_by name ~has_value:true
      else (
        pass input name;
        value (fun () -> measured input name))
  | index ->
      let name = Known (fst (indexed d index)) in
      value (fun () -> name)

let skip_field d s input =
  let first = byte input in
  if is_table_size first then (
    if s.sizes = 0 then raise (Error "table size within a block");
    set_table_bytes d input first;
    s.sizes <- s.sizes - 1)
  else (
    if first >= 0x80 then ignore (indexed d (integer input ~prefix:7 first))
    else skip_literal d s input first;
    s.sizes <- 0)

let skip_value s input =
  s.left <- (span input).bytes;
  s.has_value <- false

let skip d s block offset length =
  let input = input_of block offset length in
  let rec go () =
    let at = input.next in
    if at < input.stop then
      if s.left > 0 then (
        let n = min s.left (input.stop - at) in
        s.left <- s.left - n;
        input.next <- at + n;
        go ())
      else
        match if s.has_value then skip_value s input else skip_field d s input with
        | () -> go ()
        | exception Incomplete -> input.next <- at
  in
  go ();
  input.next - offset

let end_of_skip s ~rest = if rest > 0 || s.left > 0 || s.has_value then truncated ()

(* Encoding *)

type entry = { name : string; value : string; hash : int }

type encoder = {
  table : entry Table.t;
  seen : Bytes.t; (* Parts of the hashes of fields that were sent. *)
  mutable smallest : int; (* size of the table since the last block *)
  mutable is_announced : bool; (* The peer has the table's size. *)
}

let seen_count = 64

module Names = Hashtbl.Make (String)

(* By name, the first index in the static table, where entries with one name are neighbours. *)
let static_names =
  lazy
    (let names = Names.create 64 in
     Array.iteri (fun i (n, _) -> if not (Names.mem names n) then Names.add names n (i + 1)) static;
     names)

let encoder () =
  ignore (Lazy.force Huffman.table);
  ignore (Lazy.force static_names);
  let size { name; value; _ } = String.length name + String.length value + overhead in
  {
    table = Table.make ~bytes:initial_table_bytes size;
    seen = Bytes.make (2 * seen_count) '\000';
    smallest = initial_table_bytes;
    is_announced = true;
  }

let set_table_size e bytes =
  let bytes = max 0 (min bytes initial_table_bytes) in
  if bytes <> e.table.max_bytes then (
    if e.is_announced then e.smallest <- bytes else e.smallest <- min e.smallest bytes;
    e.is_announced <- false;
    Table.resize e.table bytes)

let rec add_rest out n =
  if n < 128 then Buffer.add_uint8 out n
  else (
    Buffer.add_uint8 out (128 lor (n land 127));
    add_rest out (n lsr 7))

let add_integer out ~prefix pattern n =
  let max = (1 lsl prefix) - 1 in
  if n < max then Buffer.add_uint8 out (pattern lor n)
  else (
    Buffer.add_uint8 out (pattern lor max);
    add_rest out (n - max))

let add_text out s =
  let length = String.length s and encoded = Huffman.encoded_length s in
  if encoded < length then (
    add_integer out ~prefix:7 0x80 encoded;
    Huffman.encode (Lazy.force Huffman.table) out s)
  else (
    add_integer out ~prefix:7 0 length;
    Buffer.add_string out s)

let add_literal out ~prefix pattern index name value =
  add_integer out ~prefix pattern index;
  if index = 0 then add_text out name;
  add_text out value

(* The index of a field in the static table, or 0. *)
let rec static_field index name value =
  if index = 0 || index > static_count then 0
  else
    let n, v = static.(index - 1) in
    if not (String.equal n name) then 0
    else if String.equal v value then index
    else static_field (index + 1) name value

(* The index of a field in the dynamic table, or 0. *)
let rec dynamic_field table i hash name value =
  if i = table.Table.count then 0
  else
    let e = Table.get table i in
    if e.hash = hash && String.equal e.name name && String.equal e.value value then
      static_count + 1 + i
    else dynamic_field table (i + 1) hash name value

(* A first time isn't worth an entry, which most fields with unique values would waste. *)
let was_seen e hash =
  let at = 2 * (hash land (seen_count - 1)) and part = hash / seen_count land 0xffff in
  let was_seen = Bytes.get_uint16_ne e.seen at = part in
  Bytes.set_uint16_ne e.seen at part;
  was_seen

(* RFC 7541 §7.1.3: what an attacker could guess by the size of later blocks. *)
let is_secret = function
  | "authorization" | "proxy-authorization" | "cookie" | "set-cookie" -> true
  | _ -> false

let add_field e out (name, value) =
  let named = Option.value (Names.find_opt (Lazy.force static_names) name) ~default:0 in
  let size = String.length name + String.length value + overhead in
  match static_field named name value with
  | 0 when is_secret name -> add_literal out ~prefix:4 0x10 named name value
  | 0 when size > e.table.max_bytes / 2 -> add_literal out ~prefix:4 0 named name value
  | 0 -> (
      let hash = (31 * String.hash name) + String.hash value in
      match dynamic_field e.table 0 hash name value with
      | 0 when was_seen e hash ->
          add_literal out ~prefix:6 0x40 named name value;
          if Table.has_space e.table size then Table.add e.table { name; value; hash }
      | 0 -> add_literal out ~prefix:4 0 named name value
      | index -> add_integer out ~prefix:7 0x80 index)
  | index -> add_integer out ~prefix:7 0x80 index

let encode e out fields =
  if not e.is_announced then (
    if e.smallest < e.table.max_bytes then add_integer out ~prefix:5 0x20 e.smallest;
    add_integer out ~prefix:5 0x20 e.table.max_bytes;
    e.is_announced <- true);
  List.iter (add_field e out) fields
