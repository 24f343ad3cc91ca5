type t = {
  algorithm : Key.algorithm;
  id : string option;
  typ : string option;
  signed : string; (* The header and the payload, encoded. *)
  payload : string; (* Encoded. *)
  signature : string;
}

let ( let* ) = Result.bind
let default_max_bytes = 16 * 1024
let max_header_values = 500
let malformed reason = Error (Problem.Malformed reason)
let named part = Result.map_error (fun reason -> Problem.Malformed (part ^ ": " ^ reason))

let decode part s =
  match Base64url.decode s with
  | Some bytes -> Ok bytes
  | None -> malformed (part ^ ": not base64url, or not its shortest form")

(* Dots are counted before they split anything. *)
let split token =
  match String.index_opt token '.' with
  | None -> malformed "not three parts"
  | Some first -> (
      match String.index_from_opt token (first + 1) '.' with
      | Some second when String.rindex token '.' = second ->
          let part start stop = String.sub token start (stop - start) in
          let payload = part (first + 1) second in
          Ok (part 0 first, payload, part 0 second, part (second + 1) (String.length token))
      | Some _ | None -> malformed "not three parts")

let short_type s =
  let s = String.lowercase_ascii s in
  let prefix = "application/" in
  if String.starts_with ~prefix s then
    let n = String.length prefix in
    String.sub s n (String.length s - n)
  else s

let algorithm_of header =
  let* name = named "header" (Json.string header "alg") in
  match name with
  | None -> malformed "header: no alg"
  | Some name -> Option.to_result ~none:Problem.Algorithm (Key.algorithm_of_string name)

let of_string ?(max_bytes = default_max_bytes) token =
  if String.length token > max_bytes then Error Problem.Too_large
  else
    let* header, payload, signed, signature = split token in
    let* header = decode "header" header in
    let* header = named "header" (Json.parse ~max_values:max_header_values header) in
    if List.mem_assoc "crit" header then Error Problem.Critical
    else
      let* algorithm = algorithm_of header in
      let* id = named "header" (Json.string header "kid") in
      let* typ = named "header" (Json.string header "typ") in
      let* signature = decode "signature" signature in
      Ok { algorithm; id; typ = Option.map short_type typ; signed; payload; signature }

let algorithm t = t.algorithm
let id t = t.id
let typ t = t.typ
let max_candidates = 4

let has_id t key =
  match (t.id, Key.id key) with Some a, Some b -> String.equal a b | None, _ | _, None -> true

let candidates keys t =
  match List.filter (fun key -> Key.algorithm key = t.algorithm) keys with
  | [] -> Error Problem.Algorithm
  | keys -> (
      match List.filter (has_id t) keys with
      | [] -> Error Problem.Unknown_key
      | keys when List.length keys > max_candidates -> Error Problem.Unknown_key
      | keys -> Ok keys)

let verify keys t =
  let* keys = candidates keys t in
  if List.exists (fun key -> Key.verify key ~signature:t.signature t.signed) keys then
    decode "payload" t.payload
  else Error Problem.Signature

let sign ?typ signer payload =
  let key = Signer.key signer in
  let optional name = Option.map (fun s -> (name, `String s)) in
  let algorithm = Key.algorithm_to_string (Key.algorithm key) in
  let header =
    ("alg", `String algorithm)
    :: List.filter_map Fun.id [ optional "typ" typ; optional "kid" (Key.id key) ]
  in
  let header = Base64url.encode (Yojson.Safe.to_string (`Assoc header)) in
  let signed = header ^ "." ^ Base64url.encode payload in
  signed ^ "." ^ Base64url.encode (Signer.sign signer signed)
