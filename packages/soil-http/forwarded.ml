module A = Soil.Net.Address
module H = Cohttp.Header

type field = X_forwarded | Forwarded
type proxies = { networks : Soil.Net.prefix list; field : field }

let by ?(field = X_forwarded) networks = { networks; field }

type origin = { address : A.t; port : int option; scheme : string option; host : string option }

let is_trusted p address = List.exists (Soil.Net.Prefix.mem address) p.networks

(* Addresses *)

let port s =
  if Grammar.is_digits s && String.length s <= 5 && int_of_string s <= 65535 then
    Some (int_of_string s)
  else None

(* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:80". *)
let node s =
  let with_port address rest =
    match A.of_string_opt address with
    | None -> None
    | Some address when rest = "" -> Some (address, None)
    | Some address ->
        (* An obfuscated port is one that isn't known. *)
        if rest.[0] = ':' then Some (address, port (String.sub rest 1 (String.length rest - 1)))
        else None
  in
  let split i j =
    with_port
      (String.sub s i (j - i))
      (let rest = if i = 0 then j else j + 1 in
       String.sub s rest (String.length s - rest))
  in
  match (String.index_opt s ']', String.index_opt s ':', String.rindex_opt s ':') with
  | Some j, _, _ when s.[0] = '[' -> split 1 j
  | _, Some first, Some last when first = last -> split 0 first
  | _ -> with_port s ""

let scheme s =
  match String.lowercase_ascii s with ("http" | "https") as scheme -> Some scheme | _ -> None

let host s = if Grammar.is_host s then Some s else None

(* Lists, whose last element comes first here *)

(* Unlike [Grammar.elements] with the empty ones, which count. *)
let x_forwarded_values headers name =
  List.concat_map (String.split_on_char ',') (H.get_multi headers name) |> List.rev_map String.trim

let unquoted s =
  let n = String.length s in
  if n >= 2 && s.[0] = '"' && s.[n - 1] = '"' then String.sub s 1 (n - 2) else s

type element = { client : string; proto : string option; named : string option }

let x_forwarded headers =
  let clients = x_forwarded_values headers "x-forwarded-for" in
  let count = List.length clients in
  let beside name =
    let values = x_forwarded_values headers name in
    if List.length values = count then List.map Option.some values
    else
      let last = match values with [] -> None | last :: _ -> Some last in
      List.map (fun _ -> last) clients
  in
  List.map2
    (fun client (proto, named) -> { client = unquoted client; proto; named })
    clients
    (List.combine (beside "x-forwarded-proto") (beside "x-forwarded-host"))

(* The elements of a field, from its end: what trusted proxies have added is well-formed, and a quote
   that a client has opened before it hides none of it. *)
let split_from_end s =
  let rec backslashes i = if i > 0 && s.[i - 1] = '\\' then 1 + backslashes (i - 1) else 0 in
  let rec go found last quoted i =
    let piece () = String.sub s (i + 1) (last - i - 1) in
    if i < 0 then List.rev (piece () :: found)
    else
      match s.[i] with
      | '"' when backslashes i land 1 = 0 -> go found last (not quoted) (i - 1)
      | ',' when not quoted -> go (piece () :: found) i false (i - 1)
      | _ -> go found last quoted (i - 1)
  in
  List.filter
    (fun e -> e <> "")
    (List.map String.trim (go [] (String.length s) false (String.length s - 1)))

exception Malformed

(* The value at [i], a token or a quoted string, and its end. *)
let value s i =
  let b = Buffer.create 32 in
  let rec quoted i =
    if i >= String.length s then raise_notrace Malformed;
    match s.[i] with
    | '"' -> i + 1
    | '\\' when i + 1 < String.length s -> add s.[i + 1] (i + 2)
    | c -> add c (i + 1)
  and add c next =
    Buffer.add_char b c;
    quoted next
  in
  if i < String.length s && s.[i] = '"' then
    let last = quoted (i + 1) in
    (Buffer.contents b, last)
  else
    let last = Grammar.end_of Grammar.token_chars s i (String.length s) in
    (String.sub s i (last - i), last)

(* Pairs [token "=" value] between ";" (RFC 7239 §4), and white space, which some proxies add. *)
let pairs s =
  let length = String.length s in
  let skip i = Grammar.(end_of space_chars) s i length in
  let rec go found i =
    let last = Grammar.end_of Grammar.token_chars s i length in
    if last = i || last >= length || s.[last] <> '=' then raise_notrace Malformed;
    let text, next = value s (last + 1) in
    let found = (String.lowercase_ascii (String.sub s i (last - i)), text) :: found in
    let next = skip next in
    if next = length then found
    else if s.[next] = ';' then go found (skip (next + 1))
    else raise_notrace Malformed
  in
  go [] 0

let element s =
  match pairs s with
  | exception Malformed -> { client = ""; proto = None; named = None }
  | pairs ->
      let one name =
        match List.filter (fun (n, _) -> n = name) pairs with
        | [ (_, value) ] -> Some value
        | _ -> None
      in
      { client = Option.value (one "for") ~default:""; proto = one "proto"; named = one "host" }

let forwarded headers =
  List.map element (List.concat_map split_from_end (List.rev (H.get_multi headers "forwarded")))

(* The walk *)

let of_headers p ~(peer : Soil.Net.Endpoint.t) headers =
  let rec go origin = function
    | element :: before when is_trusted p origin.address -> (
        let scheme = Option.bind element.proto scheme and host = Option.bind element.named host in
        match node element.client with
        | Some (address, port) -> go { address; port; scheme; host } before
        | None -> { origin with port = None; scheme; host })
    | _ -> origin
  in
  let found =
    go
      { address = peer.address; port = Some peer.port; scheme = None; host = None }
      (match p.field with X_forwarded -> x_forwarded headers | Forwarded -> forwarded headers)
  in
  match found.host with Some _ -> found | None -> { found with host = H.get headers "host" }

let origin p request =
  let headers = (Server.head request).headers in
  Option.map (fun peer -> of_headers p ~peer headers) (Server.endpoint request)

let address p request = Option.map (fun o -> o.address) (origin p request)

let entry p (e : Server.entry) =
  match (e.endpoint, e.request) with
  | Some peer, Some request when is_trusted p peer.address ->
      let { address; port; _ } = of_headers p ~peer request.headers in
      let endpoint = Soil.Net.endpoint address (Option.value port ~default:0) in
      let peer =
        if port = None then A.to_string address else Soil.Net.Endpoint.to_string endpoint
      in
      { e with peer; endpoint = Some endpoint }
  | _ -> e
