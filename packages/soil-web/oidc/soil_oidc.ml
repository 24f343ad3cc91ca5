module Client = Soil_http.Client
module Jwks = Soil_jwt.Jwks
module Sha256 = Soil.Sha256

let ( let* ) = Result.bind

type client = { id : string; secret : string option; redirect : Uri.t }

type problem =
  | Denied of string
  | State
  | Wrong_issuer
  | Exchange of string
  | Id_token of Soil_jwt.Problem.t
  | Claim of string

let problem_to_string p =
  "login: "
  ^
  match p with
  | Denied error -> "the provider refused: " ^ error
  | State -> "the answer doesn't belong to this login; begin again"
  | Wrong_issuer -> "another issuer than the expected one"
  | Exchange reason -> "request to the provider: " ^ reason
  | Id_token p -> "ID " ^ Soil_jwt.Problem.to_string p
  | Claim name -> Printf.sprintf "the ID token's %s doesn't belong to this login" name

(* Metadata *)

type metadata = {
  issuer : string;
  authorization : Uri.t;
  token : Uri.t;
  keys : Uri.t;
  basic : bool;
  sends_issuer : bool;
}

type t = {
  metadata : metadata;
  client : client;
  http : Client.t;
  keys : Jwks.t;
  policy : Soil_jwt.policy;
}

let max_values = 2000

let json_object text =
  match Soil_http_yojson.parse ~max_depth:16 ~max_values text with
  | Error reason -> Error reason
  | Ok (`Assoc o) -> Ok o
  | Ok _ -> Error "not an object"

let optional o name =
  match List.assoc_opt name o with Some (`String s) -> Some s | Some _ | None -> None

let need o name = Option.to_result ~none:("no " ^ name) (optional o name)

let metadata_of_string text =
  let* o = json_object text in
  let* issuer = need o "issuer" in
  let* authorization = need o "authorization_endpoint" in
  let* token = need o "token_endpoint" in
  let* keys = need o "jwks_uri" in
  let methods = List.assoc_opt "token_endpoint_auth_methods_supported" o in
  let basic =
    match methods with Some (`List l) -> List.mem (`String "client_secret_basic") l | _ -> true
  in
  let sends_issuer =
    List.assoc_opt "authorization_response_iss_parameter_supported" o = Some (`Bool true)
  in
  let authorization = Uri.of_string authorization and token = Uri.of_string token in
  Ok { issuer; authorization; token; keys = Uri.of_string keys; basic; sends_issuer }

let is_secure uri = Uri.scheme uri = Some "https" && Uri.host uri <> None

let are_secure metadata =
  List.for_all is_secure
    [ Uri.of_string metadata.issuer; metadata.authorization; metadata.token; metadata.keys ]

let create ?(allow_http = false) ?leeway scope http metadata client =
  if not (allow_http || are_secure metadata) then
    invalid_arg "Soil_oidc.create: a URI of the provider isn't https";
  let policy = Soil_jwt.policy ~issuer:metadata.issuer ~audience:client.id ?leeway () in
  { metadata; client; http; keys = Jwks.create ~allow_http scope http metadata.keys; policy }

(* Requests *)

let max_body = 64 * 1024
let seconds = 10.

let reason uri = function
  | Client.Failed (uri, problem) -> Uri.to_string uri ^ ": " ^ Client.problem_to_string problem
  | Soil.Error e -> Soil.Error.to_string e
  | Soil.Task.Timeout _ -> Uri.to_string uri ^ ": no response in time"
  | End_of_file -> Uri.to_string uri ^ ": the connection ended"
  | _ -> Uri.to_string uri ^ ": the request failed"

(* The response's status and body. *)
let request http ?headers ?body meth uri =
  let take (response : Cohttp.Response.t) source =
    (response.status, Soil.File_descriptor.read_all ~max:max_body source)
  in
  match Soil.Task.timeout seconds (fun () -> Client.request ?headers ?body http meth uri take) with
  | response -> Ok response
  | exception ((Client.Failed _ | Soil.Error _ | Soil.Task.Timeout _ | End_of_file) as e) ->
      Error (Exchange (reason uri e))

let decoded uri text =
  Result.map_error (fun reason -> Exchange (Uri.to_string uri ^ ": " ^ reason)) text

let without_slash s =
  if String.ends_with ~suffix:"/" s then String.sub s 0 (String.length s - 1) else s

let discover ?(allow_http = false) ?leeway scope http ~issuer client =
  let uri = Uri.of_string (without_slash issuer ^ "/.well-known/openid-configuration") in
  if not (allow_http || is_secure uri) then Error (Exchange (issuer ^ ": not https"))
  else
    let* status, text = request http `GET uri in
    if status <> `OK then
      Error (Exchange (Uri.to_string uri ^ ": status " ^ Cohttp.Code.string_of_status status))
    else
      let* metadata = decoded uri (metadata_of_string text) in
      if not (String.equal metadata.issuer issuer) then Error Wrong_issuer
      else if not (allow_http || are_secure metadata) then
        Error (Exchange (issuer ^ ": its metadata has a URI that isn't https"))
      else Ok (create ~allow_http ?leeway scope http metadata client)

(* Flows *)

let url s = Base64.encode_string ~pad:false ~alphabet:Base64.uri_safe_alphabet s

module Flow = struct
  type t = { state : string; nonce : string; verifier : string }

  let value () = url (Soil.Random.string 32)

  let create () =
    let state = value () in
    let nonce = value () in
    { state; nonce; verifier = value () }

  let to_string t = String.concat "." [ t.state; t.nonce; t.verifier ]

  let is_value s =
    let is_url = function 'A' .. 'Z' | 'a' .. 'z' | '0' .. '9' | '-' | '_' -> true | _ -> false in
    String.length s = 43 && String.for_all is_url s

  let of_string s =
    match if String.length s = 131 then String.split_on_char '.' s else [] with
    | [ state; nonce; verifier ] when List.for_all is_value [ state; nonce; verifier ] ->
        Some { state; nonce; verifier }
    | _ -> None

  let verifier t = t.verifier
  let challenge verifier = url (Sha256.digest verifier)
end

let start ?(scopes = []) ?(extra = []) t =
  let flow = Flow.create () in
  let own =
    [
      ("response_type", "code");
      ("client_id", t.client.id);
      ("redirect_uri", Uri.to_string t.client.redirect);
      ("scope", String.concat " " ("openid" :: scopes));
      ("state", flow.state);
      ("nonce", flow.nonce);
      ("code_challenge", Flow.challenge flow.verifier);
      ("code_challenge_method", "S256");
    ]
  in
  if List.exists (fun (name, _) -> List.mem_assoc name own) extra then
    invalid_arg "Soil_oidc.start: extra has a parameter of the flow";
  (flow, Uri.add_query_params' t.metadata.authorization (own @ extra))

(* The answer *)

(* RFC 6749 §4.1.2.1 *)
let is_error s =
  let is_char = function '"' | '\\' -> false | c -> c >= ' ' && c <= '~' in
  s <> "" && String.length s <= 100 && String.for_all is_char s

(* RFC 6749 §3.1: each parameter once. *)
let once query name =
  match List.filter (fun (n, _) -> n = name) query with
  | [] -> Ok None
  | [ (_, [ value ]) ] -> Ok (Some value)
  (* Cohttp's and Uri's queries divide a value at commas. *)
  | [ (_, values) ] -> Ok (Some (String.concat "," values))
  | _ -> Error State

let check_issuer t query =
  let* issuer = once query "iss" in
  match issuer with
  | Some issuer when String.equal issuer t.metadata.issuer -> Ok ()
  | None when not t.metadata.sends_issuer -> Ok ()
  | Some _ | None -> Error Wrong_issuer

let code_of t (flow : Flow.t) query =
  let* state = once query "state" in
  let* () = match state with Some s when Sha256.equal s flow.state -> Ok () | _ -> Error State in
  let* () = check_issuer t query in
  let* error = once query "error" in
  let* code = once query "code" in
  match (error, code) with
  | Some error, _ -> Error (Denied (if is_error error then error else "invalid error"))
  | None, Some code when code <> "" -> Ok code
  | None, _ -> Error State

(* RFC 6749 §2.3.1: both are encoded as forms are. *)
let form_value s = Uri.pct_encode ~component:(`Custom (`Generic, "", "!$&'()*+,;=:@/?")) s

let form fields =
  String.concat "&" (List.map (fun (name, value) -> name ^ "=" ^ form_value value) fields)

let authentication t =
  let id = ("client_id", t.client.id) in
  match t.client.secret with
  | None -> ([ id ], [])
  | Some secret when t.metadata.basic ->
      let pair = form_value t.client.id ^ ":" ^ form_value secret in
      ([], [ ("authorization", "Basic " ^ Base64.encode_string pair) ])
  | Some secret -> ([ id; ("client_secret", secret) ], [])

let exchange t (flow : Flow.t) code =
  let fields, headers = authentication t in
  let fields =
    [
      ("grant_type", "authorization_code");
      ("code", code);
      ("redirect_uri", Uri.to_string t.client.redirect);
      ("code_verifier", flow.verifier);
    ]
    @ fields
  in
  let headers =
    [ ("content-type", "application/x-www-form-urlencoded"); ("accept", "application/json") ]
    @ headers
  in
  let uri = t.metadata.token in
  let headers = Cohttp.Header.of_list headers in
  let* status, text = request t.http ~headers ~body:(Client.String (form fields)) `POST uri in
  let* o = decoded uri (json_object text) in
  match (status, optional o "error") with
  | `OK, None -> Ok o
  | _, Some error when is_error error -> Error (Denied error)
  | status, _ ->
      Error (Exchange (Uri.to_string uri ^ ": status " ^ Cohttp.Code.string_of_status status))

(* The ID token, OpenID Connect Core §3.1.3.7 *)

let claim (claims : Soil_jwt.claims) name = optional claims.all name

(* Other audiences aren't trusted, and one isn't enough if another is authorized. *)
let check_party t (claims : Soil_jwt.claims) =
  if claims.audience <> [ t.client.id ] then Error (Claim "aud")
  else
    match (List.mem_assoc "azp" claims.all, claim claims "azp") with
    | false, _ -> Ok ()
    | true, Some party when String.equal party t.client.id -> Ok ()
    | true, _ -> Error (Claim "azp")

let check_nonce ~nonce claims =
  match claim claims "nonce" with
  | Some n when Sha256.equal n nonce -> Ok ()
  | Some _ | None -> Error (Claim "nonce")

(* §3.1.3.6. Ed25519's own hash is SHA-512. *)
let hash_half algorithm token =
  let digest =
    match (algorithm : Soil_jwt.Key.algorithm) with
    | HS256 | RS256 | ES256 -> Sha256.digest token
    | EdDSA -> Digestif.SHA512.(to_raw_string (digest_string token))
  in
  url (String.sub digest 0 (String.length digest / 2))

let check_at_hash algorithm ~access_token (claims : Soil_jwt.claims) =
  match (List.mem_assoc "at_hash" claims.all, claim claims "at_hash") with
  | false, _ -> Ok ()
  | true, Some hash when Sha256.equal hash (hash_half algorithm access_token) -> Ok ()
  | true, _ -> Error (Claim "at_hash")

let check_subject (claims : Soil_jwt.claims) =
  match claims.subject with
  | Some subject when subject <> "" && String.length subject <= 255 -> Ok subject
  | Some _ | None -> Error (Claim "sub")

let check_issued (claims : Soil_jwt.claims) =
  if claims.issued = None then Error (Claim "iat") else Ok ()

let check_id_token t ~nonce ~access_token token =
  let id_token r = Result.map_error (fun p -> Id_token p) r in
  let* jws = id_token (Soil_jwt.parse t.policy token) in
  let* claims = id_token (Jwks.verify t.keys t.policy token) in
  let* () = check_party t claims in
  let* () = check_nonce ~nonce claims in
  let* () = check_issued claims in
  let* () = check_at_hash (Soil_jwt.Jws.algorithm jws) ~access_token claims in
  let* _ = check_subject claims in
  Ok claims

type tokens = {
  subject : string;
  claims : Soil_jwt.claims;
  id_token : string;
  access_token : string;
  expires_in : int option;
  refresh_token : string option;
  scope : string option;
}

(* RFC 6749 §5.1: a number; Azure's older endpoint sends a text. *)
let seconds_of o name =
  let of_float f = if f >= 0x1p62 then max_int else int_of_float f in
  match List.assoc_opt name o with
  | Some (`Int n) when n >= 0 -> Some n
  | Some (`Float f) when f >= 0. -> Some (of_float f)
  | Some (`Intlit s | `String s)
    when s <> "" && String.length s <= 100 && String.for_all (fun c -> c >= '0' && c <= '9') s ->
      Some (of_float (float_of_string s))
  | Some _ | None -> None

let finish t (flow : Flow.t) query =
  let* code = code_of t flow query in
  let* o = exchange t flow code in
  let need name = decoded t.metadata.token (need o name) in
  let* kind = need "token_type" in
  let* access_token = need "access_token" in
  let* id_token = need "id_token" in
  if String.lowercase_ascii kind <> "bearer" then Error (Exchange "token_type isn't Bearer")
  else
    let* claims = check_id_token t ~nonce:flow.nonce ~access_token id_token in
    let* subject = check_subject claims in
    let refresh_token = optional o "refresh_token" and scope = optional o "scope" in
    let expires_in = seconds_of o "expires_in" in
    Ok { subject; claims; id_token; access_token; expires_in; refresh_token; scope }
