let is_digit c = c >= '0' && c <= '9'

let is_token_char = function
  | '0' .. '9' | 'A' .. 'Z' | 'a' .. 'z' -> true
  | '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '.' | '^' | '_' | '`' | '|' | '~' -> true
  | _ -> false

let is_token s = s <> "" && String.for_all is_token_char s
let is_value s = String.for_all (fun c -> (c >= ' ' && c <> '\127') || c = '\t') s
let is_digits s = s <> "" && String.for_all is_digit s

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
  let rec name_end is i = if i < length && is s.[i] then name_end is (i + 1) else i in
  let is_port i =
    i = length || (s.[i] = ':' && String.for_all is_digit (String.sub s (i + 1) (length - i - 1)))
  in
  if length > 0 && s.[0] = '[' then
    let i = name_end is_address_char 1 in
    i > 1 && i < length && s.[i] = ']' && is_port (i + 1)
  else
    let i = name_end is_name_char 0 in
    i > 0 && is_port i

let equal a b =
  String.length a = String.length b && String.lowercase_ascii a = String.lowercase_ascii b

let elements s =
  if String.contains s ',' then
    List.filter (fun e -> e <> "") (List.map String.trim (String.split_on_char ',' s))
  else match String.trim s with "" -> [] | word -> [ word ]

let mem headers name word =
  match Cohttp.Header.get_multi headers name with
  | [] -> false
  | values -> List.exists (fun v -> List.exists (equal word) (elements v)) values
