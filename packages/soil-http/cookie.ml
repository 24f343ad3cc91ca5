module H = Cohttp.Header

(* Requests *)

let pair text =
  match String.index_opt text '=' with
  | None -> None
  | Some i ->
      let name = String.trim (String.sub text 0 i) in
      let value = String.trim (String.sub text (i + 1) (String.length text - i - 1)) in
      if Grammar.is_token name then Some (name, value) else None

let all request =
  let fields = H.get_multi (Server.head request).headers "cookie" in
  List.concat_map (fun field -> List.filter_map pair (String.split_on_char ';' field)) fields

let find request name = List.assoc_opt name (all request)

(* Responses *)

type t = string
type same_site = [ `Strict | `Lax | `None ]

let to_string t = t
let invalid name what = invalid_arg ("Soil_http.Cookie: " ^ name ^ ": " ^ what)

(* cookie-octet of RFC 6265 §4.1.1. *)
let is_octet c = c > ' ' && c < '\127' && c <> '"' && c <> ',' && c <> ';' && c <> '\\'
let is_path_char c = c >= ' ' && c <> '\127' && c <> ';'

let is_domain_char = function
  | '0' .. '9' | 'A' .. 'Z' | 'a' .. 'z' | '-' | '.' -> true
  | _ -> false

let has_prefix prefix name =
  let n = String.length prefix in
  String.length name >= n && Grammar.equal (String.sub name 0 n) prefix

let check_pair name value =
  if not (Grammar.is_token name) then invalid name "the name isn't a token";
  if not (String.for_all is_octet value) then
    invalid name "the value has a character that cookies can't have: escape it";
  if String.length name + String.length value > 4096 then invalid name "longer than 4096 bytes"

let check_scope name ~path ~domain =
  if not (String.starts_with ~prefix:"/" path && String.for_all is_path_char path) then
    invalid name "the path doesn't begin with a slash, or has a semicolon or a control character";
  let is_domain d = d <> "" && String.for_all is_domain_char d in
  if not (Option.fold ~none:true ~some:is_domain domain) then invalid name "the domain isn't a name";
  let length = max (String.length path) (Option.fold ~none:0 ~some:String.length domain) in
  if length > 1024 then invalid name "the path or the domain is longer than 1024 bytes"

let check_rules name ~path ~domain ~same_site ~secure =
  if same_site = `None && not secure then invalid name "SameSite=None needs ~secure:true";
  let is_of_host = has_prefix "__Host-" name in
  if (is_of_host || has_prefix "__Secure-" name) && not secure then
    invalid name "the prefix needs ~secure:true";
  if is_of_host && not (path = "/" && domain = None) then
    invalid name "the prefix needs the path / and no domain"

let age name seconds =
  if not (seconds >= 0. && seconds <= 1e12) then invalid name "max_age is out of range";
  string_of_int (int_of_float (ceil seconds))

let make ?(path = "/") ?domain ?max_age ?(http_only = true) ?(same_site = `Lax) ~secure name value =
  check_pair name value;
  check_scope name ~path ~domain;
  check_rules name ~path ~domain ~same_site ~secure;
  let site = match same_site with `Strict -> "Strict" | `Lax -> "Lax" | `None -> "None" in
  String.concat "; "
    (List.concat
       [
         [ name ^ "=" ^ value; "Path=" ^ path ];
         Option.to_list (Option.map (( ^ ) "Domain=") domain);
         Option.to_list (Option.map (fun seconds -> "Max-Age=" ^ age name seconds) max_age);
         (if secure then [ "Secure" ] else []);
         (if http_only then [ "HttpOnly" ] else []);
         [ "SameSite=" ^ site ];
       ])

let remove ?path ?domain ~secure name = make ?path ?domain ~max_age:0. ~secure name ""
let add t (r : Response.t) : Server.response = { r with headers = H.add r.headers "set-cookie" t }

(* Values *)

let escape s =
  let b = Buffer.create (String.length s + 16) in
  String.iter (Percent.add b ~is_plain:(fun c -> is_octet c && c <> '%')) s;
  Buffer.contents b

let unescape s = Percent.decode s
