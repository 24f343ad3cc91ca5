(* A provider as a handler, in virtual time; the browser is the test. *)

open Check
module Server = Soil_http.Server
module Key = Soil_jwt.Key
module Signer = Soil_jwt.Signer
module Ed25519 = Mirage_crypto_ec.Ed25519
module P256 = Mirage_crypto_ec.P256.Dsa

let ed = Signer.eddsa ~id:"ed" (Result.get_ok (Ed25519.priv_of_octets (String.make 32 'e')))
let ec = Signer.es256 ~id:"ec" (Result.get_ok (P256.priv_of_octets (String.make 32 'c')))
let stranger = Signer.eddsa ~id:"ed" (Result.get_ok (Ed25519.priv_of_octets (String.make 32 's')))
let issuer = "http://id.example"
let redirect = Uri.of_string "https://notes.example/back"
let client = { Soil_oidc.id = "a client"; secret = Some "s:+ %"; redirect }

(* OpenID Connect Core, appendix A.3: an access token and its at_hash. *)
let access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
let at_hash = "77QmUPtjPfzWtF2AnpK9RQ"

type provider = {
  mutable metadata : (string * Yojson.Safe.t) list;
  mutable signer : Signer.t;
  mutable claims : (string * Yojson.Safe.t) list;
  mutable answer : (string * Yojson.Safe.t) list;  (* Of the token endpoint, added. *)
  mutable status : Cohttp.Code.status_code;
  mutable raw : string option;
  mutable challenge : string;
  mutable nonce : string;
  mutable seen : string list;
}
[@@ocamlformat "disable"]

let json ?status o = Server.string ?status (Yojson.Safe.to_string (`Assoc o))

let id_token p =
  let now = int_of_float (Soil.Clock.now ()) in
  let default =
    [
      ("iss", `String issuer);
      ("sub", `String "24400320");
      ("aud", `String client.id);
      ("exp", `Int (now + 600));
      ("iat", `Int now);
      ("nonce", `String p.nonce);
    ]
  in
  let kept = List.filter (fun (name, _) -> not (List.mem_assoc name p.claims)) default in
  let own = List.filter (fun (_, v) -> v <> `Null) p.claims in
  Soil_jwt.Jws.sign p.signer (Yojson.Safe.to_string (`Assoc (kept @ own)))

let token p request =
  let form = Uri.query_of_encoded (Server.body_string request) in
  let field name = match List.assoc_opt name form with Some [ v ] -> v | _ -> "" in
  let authorization = Option.value (Server.header request "authorization") ~default:"" in
  p.seen <- [ authorization; field "client_id"; field "client_secret"; field "redirect_uri" ];
  if field "code" <> "SplxlOBeZQQYbYS6WxSbIA" then
    json ~status:`Bad_request [ ("error", `String "invalid_grant") ]
  else if Soil_oidc.Flow.challenge (field "code_verifier") <> p.challenge then
    json ~status:`Bad_request [ ("error", `String "invalid_grant") ]
  else
    let own =
      [
        ("token_type", `String "bearer");
        ("access_token", `String access_token);
        ("id_token", `String (id_token p));
        ("expires_in", `Int 3600);
      ]
    in
    let kept = List.filter (fun (name, _) -> not (List.mem_assoc name p.answer)) own in
    json ~status:p.status (kept @ p.answer)

let handler p request =
  match (Server.path request, p.raw) with
  | "/.well-known/openid-configuration", Some text -> Server.string text
  | "/.well-known/openid-configuration", None -> json p.metadata
  | "/keys", _ -> Server.string (Soil_jwt.Jwk.set_to_string [ Signer.key ed; Signer.key ec ])
  | "/token", Some text -> Server.string ~status:p.status text
  | "/token", None -> token p request
  | _ -> Server.string ~status:`Not_found ""

let metadata =
  [
    ("issuer", `String issuer);
    ("authorization_endpoint", `String (issuer ^ "/authorize?tenant=1"));
    ("token_endpoint", `String (issuer ^ "/token"));
    ("jwks_uri", `String (issuer ^ "/keys"));
  ]

let with_provider f () =
  let p =
    {
      metadata;
      signer = ec;
      claims = [];
      answer = [];
      status = `OK;
      raw = None;
      challenge = "";
      nonce = "";
      seen = [];
    }
  in
  Soil.Virtual_clock.run @@ fun () ->
  Soil_http.Test.run (handler p) @@ fun t ->
  Soil.Task.scope @@ fun scope -> f scope p (Soil_http.Test.client t)

let ok = function Ok v -> v | Error p -> Alcotest.fail (Soil_oidc.problem_to_string p)

let discovered ?(client = client) scope http =
  ok (Soil_oidc.discover ~allow_http:true scope http ~issuer client)

let says what expected = function
  | Ok _ -> string what expected "accepted"
  | Error p -> string what ("login: " ^ expected) (Soil_oidc.problem_to_string p)

(* A browser that follows the redirect, and the provider's redirect back. *)
let login ?(query = fun q -> q) t p =
  let flow, uri = Soil_oidc.start t in
  let parameter name = Option.get (Uri.get_query_param uri name) in
  p.challenge <- parameter "code_challenge";
  p.nonce <- parameter "nonce";
  let back = [ ("code", [ "SplxlOBeZQQYbYS6WxSbIA" ]); ("state", [ parameter "state" ]) ] in
  Soil_oidc.finish t flow (query back)

let complete scope p http =
  let t = discovered scope http in
  let tokens = ok (login t p) in
  string "subject" "24400320" tokens.subject;
  string "access token" access_token tokens.access_token;
  bool "expires" true (tokens.expires_in = Some 3600);
  strings "authentication" [ "Basic YSUyMGNsaWVudDpzJTNBJTJCJTIwJTI1"; ""; ""; Uri.to_string redirect ] p.seen;
  p.metadata <- ("token_endpoint_auth_methods_supported", `List [ `String "client_secret_post" ]) :: metadata;
  ignore (ok (login (discovered scope http) p));
  strings "in the form" [ ""; "a client"; "s:+ %"; Uri.to_string redirect ] p.seen;
  ignore (ok (login (discovered ~client:{ client with secret = None } scope http) p));
  strings "public" [ ""; "a client"; ""; Uri.to_string redirect ] p.seen
[@@ocamlformat "disable"]

let redirects scope _ http =
  let t = discovered scope http in
  let flow, uri = Soil_oidc.start ~scopes:[ "email" ] ~extra:[ ("prompt", "login") ] t in
  let parameter name = Option.value (Uri.get_query_param uri name) ~default:"" in
  strings "parameters"
    [ "1"; "code"; "a client"; "https://notes.example/back"; "openid email"; "S256"; "login" ]
    (List.map parameter
       [ "tenant"; "response_type"; "client_id"; "redirect_uri"; "scope"; "code_challenge_method"; "prompt" ]);
  string "challenge" (Soil_oidc.Flow.challenge (Soil_oidc.Flow.verifier flow)) (parameter "code_challenge");
  let other, uri2 = Soil_oidc.start t in
  bool "each its own" true (other <> flow && Uri.get_query_param uri2 "state" <> Some (parameter "state"));
  is_invalid "state twice" (fun () -> Soil_oidc.start ~extra:[ ("state", "x") ] t);
  let text = Soil_oidc.Flow.to_string flow in
  bool "kept" true (Soil_oidc.Flow.of_string text = Some flow);
  List.iter
    (fun s -> bool "not a flow" true (Soil_oidc.Flow.of_string s = None))
    [ ""; text ^ "A"; String.make 131 '.'; String.make 131 'A'; String.map (fun c -> if c = '.' then ' ' else c) text ]
[@@ocamlformat "disable"]

(* RFC 7636, appendix B. *)
let pkce () =
  string "S256" "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    (Soil_oidc.Flow.challenge "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")

let answers scope p http =
  let t = discovered scope http in
  let state = "the answer doesn't belong to this login; begin again" in
  let refused what expected query = says what expected (login ~query t p) in
  let set name values q = (name, values) :: List.remove_assoc name q in
  refused "no state" state (List.remove_assoc "state");
  refused "another state" state (set "state" [ "x" ]);
  refused "state twice" state (fun q -> q @ [ ("state", [ "x" ]) ]);
  refused "no code" state (List.remove_assoc "code");
  refused "code twice" state (fun q -> ("code", [ "x" ]) :: q);
  refused "another code" "the provider refused: invalid_grant" (set "code" [ "stolen" ]);
  refused "denied" "the provider refused: access_denied" (set "error" [ "access_denied" ]);
  refused "an invalid error" "the provider refused: invalid error" (set "error" [ "\027[2J" ]);
  refused "denied, of another flow" state (fun q -> [ ("error", [ "access_denied" ]) ] @ List.remove_assoc "state" q);
  refused "mixed up" "another issuer than the expected one" (set "iss" [ "https://evil.example" ]);
  ignore (ok (login ~query:(set "iss" [ issuer ]) t p));
  p.metadata <- ("authorization_response_iss_parameter_supported", `Bool true) :: metadata;
  says "no iss" "another issuer than the expected one" (login (discovered scope http) p);
  (* The verifier of another flow. *)
  let flow, uri = Soil_oidc.start t in
  p.challenge <- "of another flow";
  let back = [ ("code", [ "SplxlOBeZQQYbYS6WxSbIA" ]); ("state", [ Option.get (Uri.get_query_param uri "state") ]) ] in
  says "PKCE" "the provider refused: invalid_grant" (Soil_oidc.finish t flow back)
[@@ocamlformat "disable"]

let id_tokens scope p http =
  let t = discovered scope http in
  let with_claims what expected claims =
    p.claims <- claims;
    says what expected (login t p)
  in
  let wrong name = Printf.sprintf "the ID token's %s doesn't belong to this login" name in
  with_claims "nonce" (wrong "nonce") [ ("nonce", `String "x") ];
  with_claims "no nonce" (wrong "nonce") [ ("nonce", `Null) ];
  with_claims "nonce's type" (wrong "nonce") [ ("nonce", `Int 1) ];
  with_claims "issuer" "ID token: iss isn't the expected issuer" [ ("iss", `String "https://evil.example") ];
  with_claims "audience" "ID token: aud isn't the expected audience" [ ("aud", `String "other") ];
  with_claims "another one, too" (wrong "aud") [ ("aud", `List [ `String client.id; `String "other" ]); ("azp", `String client.id) ];
  with_claims "azp" (wrong "azp") [ ("azp", `String "other") ];
  with_claims "azp's type" (wrong "azp") [ ("azp", `List []) ];
  with_claims "expired" "ID token: expired" [ ("exp", `Int 900_000_000) ];
  with_claims "no exp" "ID token: no exp" [ ("exp", `Null) ];
  with_claims "no iat" (wrong "iat") [ ("iat", `Null) ];
  with_claims "no sub" (wrong "sub") [ ("sub", `Null) ];
  with_claims "a long sub" (wrong "sub") [ ("sub", `String (String.make 256 'x')) ];
  with_claims "at_hash" (wrong "at_hash") [ ("at_hash", `String "77QmUPtjPfzWtF2AnpK9RA") ];
  with_claims "at_hash's type" (wrong "at_hash") [ ("at_hash", `Null); ("at_hash", `Int 7) ];
  p.claims <- [ ("at_hash", `String at_hash); ("azp", `String client.id); ("aud", `List [ `String client.id ]) ];
  ignore (ok (login t p));
  p.signer <- ed;
  says "EdDSA has SHA-512" (wrong "at_hash") (login t p);
  let sha512 = Digestif.SHA512.(to_raw_string (digest_string access_token)) in
  p.claims <- [ ("at_hash", `String (Base64.encode_string ~pad:false ~alphabet:Base64.uri_safe_alphabet (String.sub sha512 0 32))) ];
  ignore (ok (login t p));
  p.claims <- [];
  p.signer <- stranger;
  says "signature" "ID token: not signed by the key" (login t p);
  p.signer <- Signer.hs256 (String.make 32 'h');
  says "another algorithm" "ID token: no key has its algorithm" (login t p)
[@@ocamlformat "disable"]

let exchanges scope p http =
  let t = discovered scope http in
  let with_answer what expected answer =
    p.answer <- answer;
    says what expected (login t p)
  in
  let at reason = "request to the provider: http://id.example/token: " ^ reason in
  with_answer "no ID token" (at "no id_token") [ ("id_token", `Null) ];
  with_answer "type" "request to the provider: token_type isn't Bearer" [ ("token_type", `String "mac") ];
  with_answer "twice" (at {|the name "x" occurs twice in an object|}) [ ("x", `Int 1); ("x", `Int 2) ];
  with_answer "error with 200" "the provider refused: bad" [ ("error", `String "bad") ];
  let expires what expected value =
    p.answer <- [ ("expires_in", value) ];
    bool what true ((ok (login t p)).expires_in = expected)
  in
  expires "text" (Some 3599) (`String "3599");
  expires "a fraction" (Some 3599) (`Float 3599.5);
  expires "beyond int" (Some max_int) (`Intlit "9223372036854775807");
  expires "text beyond int" (Some max_int) (`String "9223372036854775807");
  expires "words" None (`String "soon");
  expires "hexadecimal" None (`String "0x10");
  expires "negative" None (`Int (-1));
  expires "null" None `Null;
  p.answer <- [];
  p.status <- `Bad_gateway;
  says "status" (at "status 502 Bad Gateway") (login t p);
  p.status <- `OK;
  p.raw <- Some (String.make 70_000 ' ');
  (match login t p with Error (Exchange _) -> () | _ -> Alcotest.fail "too large");
  p.raw <- Some (String.make 20_000 '[');
  (match login t p with Error (Exchange _) -> () | _ -> Alcotest.fail "deep")
[@@ocamlformat "disable"]

let discovery scope p http =
  let discover ?(allow_http = true) () = Soil_oidc.discover ~allow_http scope http ~issuer client in
  says "http" "request to the provider: http://id.example: not https" (discover ~allow_http:false ());
  p.metadata <- ("issuer", `String "http://id.example/") :: List.remove_assoc "issuer" metadata;
  says "another issuer" "another issuer than the expected one" (discover ());
  let at = "request to the provider: http://id.example/.well-known/openid-configuration: " in
  p.metadata <- List.remove_assoc "jwks_uri" metadata;
  says "no keys" (at ^ "no jwks_uri") (discover ());
  p.metadata <- ("issuer", `String issuer) :: metadata;
  says "twice" (at ^ {|the name "issuer" occurs twice in an object|}) (discover ());
  p.raw <- Some "<html>";
  bool "HTML" true (Result.is_error (discover ()));
  p.raw <- Some (String.make 70_000 ' ');
  bool "too large" true (Result.is_error (discover ()));
  is_invalid "create" (fun () -> Soil_oidc.create scope http (Result.get_ok (Soil_oidc.metadata_of_string (Yojson.Safe.to_string (`Assoc metadata)))) client)
[@@ocamlformat "disable"]

let () =
  let provided name f = test name (with_provider f) in
  Alcotest.run "soil-web.oidc"
    [
      ( "oidc",
        [
          provided "a login" complete;
          provided "the redirect" redirects;
          test "PKCE's example" pkce;
          provided "answers that aren't this flow's" answers;
          provided "ID tokens" id_tokens;
          provided "the token endpoint" exchanges;
          provided "discovery" discovery;
        ] );
    ]
