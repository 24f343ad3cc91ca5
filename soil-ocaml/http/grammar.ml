let is_digit c = c >= '0' && c <= '9'

(* A bit for each of "!#$%&'*+-.", digits, letters and "^_`|~". All names of fields are checked:
   two masks take less than a table of jumps. *)
let[@inline] is_token_char c =
  let code = Char.code c in
  if code < 64 then (0x3ff6cfa00000000 lsr code) land 1 = 1
  else code < 128 && (0x57ffffffc7fffffe lsr (code - 64)) land 1 = 1

let[@inline] is_value_char c = (c >= ' ' && c <> '\127') || c = '\t'

(* The place of the first character in [i … length - 1] of [s] that isn't such a one, or [length]. *)
let rec end_of is s i length =
  if i < length && is (String.unsafe_get s i) then end_of is s (i + 1) length else i

let all is s i = end_of is s i (String.length s) = String.length s

(* Not by [all], which calls a function for each character. *)
let rec consists_of ~token s i length =
  i = length
  ||
  let c = String.unsafe_get s i in
  (if token then is_token_char c else is_value_char c) && consists_of ~token s (i + 1) length

let is_token s = s <> "" && consists_of ~token:true s 0 (String.length s)
let is_value s = consists_of ~token:false s 0 (String.length s)
let is_digits s = s <> "" && all is_digit s 0

(* RFC 3986 §3.2.2; what is between brackets, the resolver judges. *)
let is_name_char = function
  | '0' .. '9' | 'A' .. 'Z' | 'a' .. 'z' -> true
  | '-' | '.' | '_' | '~' | '%' | '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ';' | '=' -> true
  | _ -> false

let is_address_char = function
  | '0' .. '9' | 'A' .. 'F' | 'a' .. 'f' | ':' | '.' -> true
  | _ -> false

let is_host s =
  let length = String.length s in
  let is_port i = i = length || (s.[i] = ':' && all is_digit s (i + 1)) in
  if length > 0 && s.[0] = '[' then
    let i = end_of is_address_char s 1 length in
    i > 1 && i < length && s.[i] = ']' && is_port (i + 1)
  else
    let i = end_of is_name_char s 0 length in
    i > 0 && is_port i

let equal a b =
  String.length a = String.length b && String.lowercase_ascii a = String.lowercase_ascii b

(* From the start, as another parser of the list may read it. A backslash outside has no meaning, and
   a parser may give it one. *)
let is_closed s =
  let rec outside i =
    i = String.length s
    ||
    match s.[i] with
    | '"' -> quoted (i + 1)
    | '(' -> comment (i + 1) 1
    | ')' | '\\' -> false
    | _ -> outside (i + 1)
  and quoted i =
    i < String.length s
    && match s.[i] with '"' -> outside (i + 1) | '\\' -> quoted (i + 2) | _ -> quoted (i + 1)
  and comment i depth =
    if depth = 0 then outside i
    else
      i < String.length s
      &&
      match s.[i] with
      | '(' -> comment (i + 1) (depth + 1)
      | ')' -> comment (i + 1) (depth - 1)
      | '\\' -> comment (i + 2) depth
      | _ -> comment (i + 1) depth
  in
  outside 0

let elements s =
  if String.contains s ',' then
    List.filter (fun e -> e <> "") (List.map String.trim (String.split_on_char ',' s))
  else match String.trim s with "" -> [] | word -> [ word ]

let mem headers name word =
  match Cohttp.Header.get_multi headers name with
  | [] -> false
  | values -> List.exists (fun v -> List.exists (equal word) (elements v)) values

let quality = function
  | [] -> 1.
  | [ s ] when String.length s > 2 && (s.[0] = 'q' || s.[0] = 'Q') && s.[1] = '=' -> (
      match float_of_string_opt (String.sub s 2 (String.length s - 2)) with
      | Some q when q >= 0. && q <= 1. -> q
      | Some _ | None -> 0.)
  | _ -> 0.

(* The weight of [coding] precedes that of all others, wherever it is. *)
let rec find coding others = function
  | [] -> others
  | element :: rest -> (
      match List.map String.trim (String.split_on_char ';' element) with
      | name :: weight when equal name coding -> Some (quality weight)
      | "*" :: weight -> find coding (Some (quality weight)) rest
      | _ -> find coding others rest)

let weight headers name coding =
  let fields = Cohttp.Header.get_multi headers name in
  Option.value (find coding None (List.concat_map elements fields)) ~default:0.

let escaped text =
  let b = Buffer.create (String.length text) in
  String.iter
    (function
      | ('"' | '\\') as c ->
          Buffer.add_char b '\\';
          Buffer.add_char b c
      | ' ' .. '~' as c -> Buffer.add_char b c
      | c -> Printf.bprintf b "\\x%02x" (Char.code c))
    text;
  Buffer.contents b
