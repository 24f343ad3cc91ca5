module H = Cohttp.Header

let equal given secret = Soil.Sha256.equal (Soil.Sha256.digest given) (Soil.Sha256.digest secret)

(* token68 of RFC 9110 §11.2. *)
let is_token68 s =
  let rec padding i = i = String.length s || (s.[i] = '=' && padding (i + 1)) in
  let rec go i =
    if i = String.length s then true
    else
      match s.[i] with
      | 'A' .. 'Z' | 'a' .. 'z' | '0' .. '9' | '-' | '.' | '_' | '~' | '+' | '/' -> go (i + 1)
      | '=' -> padding i
      | _ -> false
  in
  s <> "" && s.[0] <> '=' && go 0

let credentials scheme request =
  match H.get_multi (Server.head request).headers "authorization" with
  | [ field ] -> (
      match String.index_opt field ' ' with
      | Some i when Grammar.equal (String.sub field 0 i) scheme ->
          let rest = String.trim (String.sub field i (String.length field - i)) in
          if is_token68 rest then Some rest else None
      | Some _ | None -> None)
  | _ -> None

let bearer_token = credentials "bearer"
let is_text = String.for_all (fun c -> c >= ' ' && c <> '\127')

let basic_credentials request =
  let split text =
    match String.index_opt text ':' with
    | Some i when is_text text ->
        Some (String.sub text 0 i, String.sub text (i + 1) (String.length text - i - 1))
    | Some _ | None -> None
  in
  match credentials "basic" request with
  | None -> None
  | Some encoded -> (
      match Base64.decode encoded with
      (* Not with more padding. *)
      | Ok text when Base64.encode_string text = encoded -> split text
      | Ok _ | Error _ -> None)

let quoted realm =
  if not (String.for_all (fun c -> c >= ' ' && c <= '~') realm) then
    invalid_arg "Soil_http.Auth: a realm has characters other than printable ASCII";
  "\"" ^ Grammar.escaped realm ^ "\""

let handler challenge find check f request =
  match Option.bind (find request) check with
  | Some who -> f who request
  | None ->
      let headers = H.init_with "www-authenticate" challenge in
      Server.error ~headers request `Unauthorized

let basic ?(realm = "restricted") ~check f =
  let challenge = "Basic realm=" ^ quoted realm ^ ", charset=\"UTF-8\"" in
  handler challenge basic_credentials (fun (user, password) -> check ~user ~password) f

let bearer ?(realm = "restricted") ~check f =
  handler ("Bearer realm=" ^ quoted realm) bearer_token check f
