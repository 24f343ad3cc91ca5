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

(* §3.3.1.3.1 of level 2, which has no tenants. *)
let is_key key =
  let is_first = function 'a' .. 'z' | '0' .. '9' -> true | _ -> false in
  let is_char c = is_first c || String.contains "_-*/@" c in
  key <> "" && String.length key <= 256 && is_first key.[0] && String.for_all is_char key

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

(* The member [ot] of OpenTelemetry, with [;] between its parts:
   https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/ *)

(* Its parts, and the other members. *)
let ot c =
  let members = if c.state = "" then [] else String.split_on_char ',' c.state in
  match List.partition (String.starts_with ~prefix:"ot=") members with
  | member :: _, others -> (String.split_on_char ';' (snd (Soil.Private.cut '=' member)), others)
  | [], others -> ([], others)

let digits = 14

let randomness c =
  let is_number part =
    String.starts_with ~prefix:"rv:" part
    && String.length part = 3 + digits
    && is_hex (String.sub part 3 digits)
  in
  let source = Option.value (List.find_opt is_number (fst (ot c))) ~default:c.trace_id in
  int_of_string ("0x" ^ String.sub source (String.length source - digits) digits)

let with_threshold c ~state =
  let parts, others = ot c and own, _ = ot { c with state } in
  let kept = List.filter (fun part -> not (String.starts_with ~prefix:"th:" part)) parts in
  (* What was changed comes first (§3.5). *)
  let changed = ("ot=" ^ String.concat ";" (own @ kept)) :: others in
  { c with state = shortened (Attribute.first max_members (List.filter is_member changed)) }

(* Fields *)

let of_fields ~traceparent ~tracestate =
  match traceparent with
  | [ text ] ->
      Option.map (fun c -> { c with state = of_state tracestate }) (of_parent (String.trim text))
  | _ -> None

let to_fields c =
  ("traceparent", parent c) :: (if c.state = "" then [] else [ ("tracestate", c.state) ])
