type t = { trace_id : string; span_id : string; flags : int; state : string }

let sampled = 1
let random = 2
let is_sampled c = c.flags land sampled <> 0

(* Identifiers *)

let is_hex = String.for_all (function '0' .. '9' | 'a' .. 'f' -> true | _ -> false)
let is_id s = is_hex s && String.exists (fun c -> c <> '0') s

let rec fresh bytes =
  let random = Soil.Random.string bytes in
  let digit i =
    let byte = Char.code random.[i / 2] in
    "0123456789abcdef".[if i land 1 = 0 then byte lsr 4 else byte land 15]
  in
  let id = String.init (2 * bytes) digit in
  if is_id id then id else fresh bytes

let randomness c = int_of_string ("0x" ^ String.sub c.trace_id 18 14)

(* Random bytes for several numbers: one call for each would be a large part of what a trace that
   isn't recorded costs. A copy of the program draws the same numbers for a while; its trace ids
   differ by their other digits. *)
type pool = { bytes : bytes; next : int Atomic.t }

let pool_bytes = 512
let pool = Atomic.make { bytes = Bytes.empty; next = Atomic.make pool_bytes }

let rec draw () =
  let p = Atomic.get pool in
  let i = Atomic.fetch_and_add p.next 8 in
  if i < pool_bytes then Int64.to_int (Bytes.get_int64_le p.bytes i) land ((1 lsl 56) - 1)
  else
    let bytes = Bytes.unsafe_of_string (Soil.Random.string pool_bytes) in
    ignore (Atomic.compare_and_set pool p { bytes; next = Atomic.make 0 });
    draw ()

let root ~randomness ~flags ~state =
  let trace_id = Printf.sprintf "%s%014x" (fresh 9) randomness in
  { trace_id; span_id = fresh 8; flags; state }

let child c ~is_sampled =
  let flags = c.flags land random lor if is_sampled then sampled else 0 in
  { c with span_id = fresh 8; flags }

(* traceparent *)

let length = 55

let of_parent text =
  let n = String.length text in
  let dash i = text.[i] = '-' in
  if n < length || not (dash 2 && dash 35 && dash 52) then None
  else
    let version = String.sub text 0 2
    and trace_id = String.sub text 3 32
    and span_id = String.sub text 36 16
    and flags = String.sub text 53 2 in
    let ends = n = length || (version <> "00" && dash length) in
    if ends && is_hex version && version <> "ff" && is_id trace_id && is_id span_id && is_hex flags
    then
      (* Flags that this version doesn't know are sent as zero. *)
      let flags = int_of_string ("0x" ^ flags) land (sampled lor random) in
      Some { trace_id; span_id; flags; state = "" }
    else None

let parent c = String.concat "-" [ "00"; c.trace_id; c.span_id; "0" ^ string_of_int c.flags ]

(* tracestate *)

let max_members = 32
let max_state = 512
let long_member = 128
let is_letter c = c >= 'a' && c <= 'z'
let is_letter_or_digit c = is_letter c || (c >= '0' && c <= '9')

let is_key key =
  let is_char c = is_letter_or_digit c || String.contains "_-*/" c in
  let part most first s =
    s <> "" && String.length s <= most && first s.[0] && String.for_all is_char s
  in
  match String.split_on_char '@' key with
  | [ key ] -> part 256 is_letter_or_digit key
  | [ tenant; system ] -> part 241 is_letter_or_digit tenant && part 14 is_letter system
  | _ -> false

let is_value s =
  let is_char c = c >= ' ' && c <= '~' && c <> ',' && c <> '=' in
  s <> "" && String.length s <= 256 && String.for_all is_char s

let is_member member =
  String.contains member '='
  &&
  let key, value = Soil.Private.cut '=' member in
  is_key key && is_value value

let rec first room = function
  | member :: rest when String.length member < room ->
      member :: first (room - String.length member - 1) rest
  | _ -> []

let shortened members =
  let text = String.concat "," members in
  if String.length text <= max_state then text
  else
    let short = List.filter (fun member -> String.length member <= long_member) members in
    String.concat "," (first (max_state + 1) short)

let of_state values =
  let members = List.map String.trim (String.split_on_char ',' (String.concat "," values)) in
  let members = List.filter (fun member -> member <> "") members in
  let keys = List.map (fun member -> fst (Soil.Private.cut '=' member)) members in
  if
    List.compare_length_with members max_members > 0
    || (not (List.for_all is_member members))
    || List.compare_lengths (List.sort_uniq String.compare keys) keys <> 0
  then ""
  else shortened members

(* Fields *)

let of_fields ~traceparent ~tracestate =
  match traceparent with
  | [ text ] ->
      Option.map (fun c -> { c with state = of_state tracestate }) (of_parent (String.trim text))
  | _ -> None

let to_fields c =
  ("traceparent", parent c) :: (if c.state = "" then [] else [ ("tracestate", c.state) ])
