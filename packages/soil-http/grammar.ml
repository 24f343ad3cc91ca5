(* All names of fields are checked: a table takes less than a test of ranges. *)
type set = string

let set is = String.init 256 (fun code -> if is (Char.chr code) then '\001' else '\000')
let[@inline] is_in set c = String.unsafe_get set (Char.code c) <> '\000'

(* The place of the first character in [i … length - 1] of [s] that isn't in [set], or [length]. *)
let rec end_of set s i length =
  if i < length && is_in set (String.unsafe_get s i) then end_of set s (i + 1) length else i

let all set s i = end_of set s i (String.length s) = String.length s
let is_digit = function '0' .. '9' -> true | _ -> false
let digit_chars = set is_digit

let token_chars =
  set (function
    | '0' .. '9' | 'A' .. 'Z' | 'a' .. 'z' -> true
    | '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '.' | '^' | '_' | '`' | '|' | '~' ->
        true
    | _ -> false)

let space_chars = set (fun c -> c = ' ' || c = '\t')
let value_chars = set (fun c -> (c >= ' ' && c <> '\127') || c = '\t')
let is_token s = s <> "" && all token_chars s 0
let is_value s = all value_chars s (Scan.printable s)
let is_digits s = s <> "" && all digit_chars s 0

(* RFC 3986 §3.2.2; what is between brackets, the resolver judges. *)
let name_chars =
  set (function
    | '0' .. '9' | 'A' .. 'Z' | 'a' .. 'z' -> true
    | '-' | '.' | '_' | '~' | '%' | '!' | '$' | '&' | '\'' | '(' | ')' -> true
    | '*' | '+' | ';' | '=' -> true
    | _ -> false)

let address_chars =
  set (function '0' .. '9' | 'A' .. 'F' | 'a' .. 'f' | ':' | '.' -> true | _ -> false)

let is_host s =
  let length = String.length s in
  let is_port i = i = length || (s.[i] = ':' && all digit_chars s (i + 1)) in
  if length > 0 && s.[0] = '[' then
    let i = end_of address_chars s 1 length in
    i > 1 && i < length && s.[i] = ']' && is_port (i + 1)
  else
    let i = end_of name_chars s 0 length in
    i > 0 && is_port i

let[@inline] lower c = match c with 'A' .. 'Z' -> Char.unsafe_chr (Char.code c + 32) | _ -> c
let[@inline] are_equal c d = c = d || lower c = lower d

let rec equal_from a b i =
  i = String.length a
  || (are_equal (String.unsafe_get a i) (String.unsafe_get b i) && equal_from a b (i + 1))

let equal a b = String.length a = String.length b && equal_from a b 0

let rec taken_from a b i =
  i = String.length a
  ||
  let c = String.unsafe_get a i and d = String.unsafe_get b i in
  (are_equal c d || (c = '_' && d = '-')) && taken_from a b (i + 1)

let is_taken_for a b = String.length a = String.length b && taken_from a b 0

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
