module Server = Soil_http.Server
module Media_type = Soil_http.Media_type

exception Invalid of string

(* Text. Yojson takes more than JSON, and neither its recursion nor the number of its values has a
   limit: a scan refuses all of that before. *)

exception Malformed of int * string

let malformed at reason = raise (Malformed (at, reason))
let is_digit c = c >= '0' && c <= '9'
let is_at s i c = i < String.length s && s.[i] = c
let rec skip is s i = if i < String.length s && is s.[i] then skip is s (i + 1) else i

(* RFC 8259 §6. *)
let is_number s =
  let digits i = skip is_digit s i in
  let start = if is_at s 0 '-' then 1 else 0 in
  let whole = if is_at s start '0' then start + 1 else digits start in
  let fraction = if is_at s whole '.' then digits (whole + 1) else whole in
  let has_exponent = is_at s fraction 'e' || is_at s fraction 'E' in
  let sign = fraction + 1 in
  let exponent = if is_at s sign '+' || is_at s sign '-' then sign + 1 else sign in
  let stop = if has_exponent then digits exponent else fraction in
  whole > start
  && fraction <> whole + 1
  && (not (has_exponent && stop = exponent))
  && stop = String.length s

let is_finite s =
  let has_fraction = String.exists (fun c -> c = '.' || c = 'e' || c = 'E') s in
  (not has_fraction) || Float.is_finite (float_of_string s)

(* A scan of [s]. [yield] is called after each [piece] bytes. *)
type scan = {
  s : string;
  max_depth : int;
  max_values : int;
  yield : unit -> unit;
  mutable next : int; (* Where [yield] is due. *)
  mutable values : int;
}

let piece = 4096

let[@inline] reach t i =
  if i >= t.next then (
    t.next <- i + piece;
    t.yield ())

let count t i =
  if t.values = t.max_values then
    malformed i (Printf.sprintf "more than %d values (max_values)" t.max_values);
  t.values <- t.values + 1

let is_word_char = function
  | '0' .. '9' | 'a' .. 'z' | 'A' .. 'Z' | '+' | '-' | '.' | '_' -> true
  | _ -> false

let shown word = if String.length word > 40 then String.sub word 0 40 ^ "…" else word

(* What decodes a number may take time that grows faster than its length. *)
let max_word = 1000

let scan_word s i =
  let stop = skip is_word_char s i in
  if stop - i > max_word then
    malformed i (Printf.sprintf "a word or a number of more than %d characters" max_word);
  let word = String.sub s i (stop - i) in
  (match word with
  | "true" | "false" | "null" -> ()
  | _ when not (is_digit word.[0] || word.[0] = '-') -> malformed i ("unknown word: " ^ shown word)
  | _ when not (is_number word) -> malformed i ("not a number: " ^ shown word)
  | _ when not (is_finite word) -> malformed i ("a number out of range: " ^ shown word)
  | _ -> ());
  stop

let code_unit s i =
  match if i + 4 <= String.length s then int_of_string_opt ("0x" ^ String.sub s i 4) else None with
  | Some unit -> unit
  | None -> malformed i "an escape without four hexadecimal digits"

(* The escape whose backslash is at [i]. *)
let scan_escape s i =
  if not (is_at s (i + 1) 'u') then i + 2
  else
    let unit = code_unit s (i + 2) in
    if unit < 0xd800 || unit > 0xdfff then i + 6
    else if unit < 0xdc00 && is_at s (i + 6) '\\' && is_at s (i + 7) 'u' then
      let low = code_unit s (i + 8) in
      if low >= 0xdc00 && low <= 0xdfff then i + 12 else malformed i "half of a surrogate pair"
    else malformed i "half of a surrogate pair"

let rec scan_string t i =
  reach t i;
  if i >= String.length t.s then malformed (String.length t.s) "the end in a string"
  else
    match t.s.[i] with
    | '"' -> i + 1
    | '\\' -> scan_string t (scan_escape t.s i)
    | c when c < ' ' -> malformed i "a control character in a string"
    | _ -> scan_string t (i + 1)

let rec scan t i depth =
  reach t i;
  if i < String.length t.s then
    match t.s.[i] with
    | ' ' | '\t' | '\n' | '\r' | ',' | ':' -> scan t (i + 1) depth
    | ']' | '}' -> scan t (i + 1) (depth - 1)
    | '"' ->
        count t i;
        scan t (scan_string t (i + 1)) depth
    | '[' | '{' ->
        count t i;
        if depth = t.max_depth then
          malformed i (Printf.sprintf "nested more than %d deep" t.max_depth);
        scan t (i + 1) (depth + 1)
    | c when is_word_char c ->
        count t i;
        scan t (scan_word t.s i) depth
    | c -> malformed i (Printf.sprintf "unexpected character %C" c)

let located s (at, reason) =
  let rec go line start =
    match String.index_from_opt s start '\n' with
    | Some i when i < at -> go (line + 1) (i + 1)
    | Some _ | None -> (line, start)
  in
  let line, start = go 1 0 in
  Printf.sprintf "line %d, byte %d: %s" line (at - start + 1) reason

(* Yojson's: [Line 1, bytes 3-5:] (from 0), a line break and the reason. *)
let of_yojson s message =
  match String.index_opt message '\n' with
  | None -> located s (0, String.uncapitalize_ascii message)
  | Some i -> (
      let reason = String.sub message (i + 1) (String.length message - i - 1) in
      let place line first _ =
        Printf.sprintf "line %d, byte %d: %s" line (first + 1) (String.uncapitalize_ascii reason)
      in
      try Scanf.sscanf message "Line %d, bytes %d-%d:" place
      with Scanf.Scan_failure _ | Failure _ | End_of_file -> reason)

let rec check_utf_8 t i =
  reach t i;
  if i < String.length t.s then
    let d = String.get_utf_8_uchar t.s i in
    if Uchar.utf_decode_is_valid d then check_utf_8 t (i + Uchar.utf_decode_length d)
    else malformed i "not UTF-8"

(* Yojson reads it by pieces of 512 bytes, the size of [Lexing]'s own. *)
let lexbuf t =
  let taken = ref 0 in
  t.next <- piece;
  Lexing.from_function (fun b n ->
      let n = min n (String.length t.s - !taken) in
      Bytes.blit_string t.s !taken b 0 n;
      taken := !taken + n;
      reach t !taken;
      n)

(* Readers differ in which of two equal names counts. *)

exception Repeated of string

module Names = Set.Make (String)

let check_names ~yield json =
  let visited = ref 0 in
  let visit () =
    incr visited;
    if !visited land 255 = 0 then yield ()
  in
  let add names (name, _) =
    visit ();
    if Names.mem name names then raise (Repeated name);
    Names.add name names
  in
  let rec check : Yojson.Safe.t -> unit = function
    | `Assoc members ->
        ignore (List.fold_left add Names.empty members);
        List.iter (fun (_, value) -> check value) members
    | `List values -> List.iter check values
    | _ -> visit ()
  in
  check json

(* What a value takes in a list or an object, without its text. *)
let value_bytes = 64

let parse_with ~yield ~hold ?(max_depth = 100) ?(max_values = 100_000) s =
  let t = { s; max_depth; max_values; yield; next = piece; values = 0 } in
  match
    check_utf_8 t 0;
    t.next <- piece;
    scan t 0 0;
    hold ((t.values * value_bytes) + String.length s);
    let json = Yojson.Safe.from_lexbuf (Yojson.init_lexer ()) (lexbuf t) in
    check_names ~yield json;
    json
  with
  | json -> Ok json
  | exception Repeated name ->
      Error (Printf.sprintf "the name %S occurs twice in an object" (shown name))
  | exception Malformed (at, reason) -> Error (located s (at, reason))
  | exception Yojson.Json_error message -> Error (of_yojson s message)
  | exception Yojson.End_of_input -> Error (located s (0, "blank input data"))

let parse ?max_depth ?max_values s = parse_with ~yield:ignore ~hold:ignore ?max_depth ?max_values s

(* Responses *)

let rec check : Yojson.Safe.t -> unit = function
  | `Float f when not (Float.is_finite f) ->
      invalid_arg "Soil_http_yojson.response: a number isn't finite"
  | `List l -> List.iter check l
  | `Assoc l -> List.iter (fun (_, v) -> check v) l
  | _ -> ()

let response ?status ?(headers = Cohttp.Header.init ()) json =
  check json;
  let headers = Cohttp.Header.replace headers "content-type" "application/json" in
  Server.string ?status ~headers (Yojson.Safe.to_string json)

let problem request status detail =
  Server.error request ~default:Server.Error.problem ~detail status

(* Requests *)

let is_json request =
  match Media_type.of_request request with
  | Some { name; _ } -> name = "application/json" || String.ends_with ~suffix:"+json" name
  | None -> false

let decoded decode json =
  match decode json with
  | v -> Ok v
  | exception
      ( Invalid reason
      | Yojson.Safe.Util.Type_error (reason, _)
      | Yojson.Safe.Util.Undefined (reason, _) ) ->
      Error reason

let read ?max ?max_depth ?max_values decode request =
  if not (is_json request) then
    Error (problem request `Unsupported_media_type "the body's type isn't application/json")
  else
    let text = Server.body_string ?max request in
    let json =
      parse_with ~yield:Soil.Task.yield ~hold:Soil.Budget.hold ?max_depth ?max_values text
    in
    match Result.bind json (decoded decode) with
    | Ok v -> Ok v
    | Error reason -> Error (problem request `Bad_request reason)

let handle ?max ?max_depth ?max_values decode f request =
  match read ?max ?max_depth ?max_values decode request with
  | Ok v -> f request v
  | Error response -> response
