(* A CA after RFC 8555, RFC 8737 and RFC 9773, with faults. It checks what the client sends, and
   validates challenges by connections of its own. *)

module Server = Soil_http.Server
module Header = Cohttp.Header
module Dsa = Mirage_crypto_ec.P256.Dsa

type flow = [ `Read | `Write | `Shutdown ] Soil.File_descriptor.t
type chain = Good | Other_key | Other_names | Wrong_order | Empty | Long | Huge | Expired

type authorization = {
  name : string;
  token : string;
  mutable state : [ `Pending | `Processing of float * string | `Valid | `Invalid of string ];
}

type order = {
  names : string list;
  authorizations : int list;
  mutable finalized : (float * string) option;  (** When it is valid, with which chain. *)
}

type t = {
  accounts : (string, Dsa.pub) Hashtbl.t;  (** By thumbprint. *)
  nonces : (string, unit) Hashtbl.t;
  authorizations : (int, authorization) Hashtbl.t;
  orders : (int, order) Hashtbl.t;
  key : X509.Private_key.t;
  root : X509.Certificate.t;
  reach : int -> flow;  (** A connection to this port of the server. *)
  mutable requests : string list;  (** Paths, the last first. *)
  mutable numbers : int;
  mutable replaced : string list;
  (* Faults *)
  mutable bad_nonces : int;  (** Each n-th signed request is refused; 0: none. *)
  mutable unavailable : int;  (** So many next requests get 503. *)
  mutable unavailable_at : string option;  (** The next request to such a path gets 503. *)
  mutable cut : int;  (** So many next responses are cut. *)
  mutable cut_at : string option;  (** The next response to such a path is cut. *)
  mutable scheme : string;  (** Of the URLs in orders. *)
  mutable other_name : string option;  (** In authorizations. *)
  mutable refuses_replaces : Cohttp.Code.status_code option;  (** By this status. *)
  mutable rate_limited : int option;  (** [Retry-After] for new orders. *)
  mutable validation_seconds : float;
  mutable issue_seconds : float;
  mutable chain : chain;
  mutable lifetime : float;
  mutable window : (float * float) option;
  mutable external_key : string option;
}

(* Where clients reach it. *)
let host = Option.value (Sys.getenv_opt "CA_HOST") ~default:"ca.test"
let base = "http://" ^ host
let alphabet = Base64.uri_safe_alphabet
let base64 s = Base64.encode_string ~pad:false ~alphabet s
let of_base64 s = Base64.decode_exn ~pad:false ~alphabet s
let now () = Soil.Clock.now ()
let time t = Option.get (Ptime.of_float_s t)
let dn name = X509.Distinguished_name.[ Relative_distinguished_name.singleton (CN name) ]
let key_id = String.make 20 'k'

let issue ?(ca = false) ~key ~issuer ~subject ~public ~names ~from ~until () =
  let open X509 in
  ignore public;
  let request = Result.get_ok (Signing_request.create (dn subject) public) in
  let extensions = Extension.singleton Basic_constraints (true, (ca, None)) in
  let extensions =
    if names = [] then extensions
    else
      Extension.(
        extensions
        |> add Subject_alt_name (false, General_name.singleton DNS names)
        |> add Authority_key_id (false, (Some key_id, General_name.empty, None)))
  in
  let extensions =
    if ca then
      Extension.(
        extensions
        |> add Subject_key_id (false, key_id)
        |> add Key_usage (true, [ `Key_cert_sign; `CRL_sign ]))
    else extensions
  in
  Result.get_ok
    (Signing_request.sign request ~valid_from:(time from) ~valid_until:(time until) ~extensions key
       (dn issuer))

let create reach =
  let key = X509.Private_key.generate `P256 in
  let from = now () -. 86400. and until = now () +. 1e9 in
  let root =
    issue ~ca:true ~key ~issuer:"test CA" ~subject:"test CA" ~public:key ~names:[] ~from ~until ()
  in
  {
    accounts = Hashtbl.create 8;
    nonces = Hashtbl.create 8;
    authorizations = Hashtbl.create 8;
    orders = Hashtbl.create 8;
    key;
    root;
    reach;
    requests = [];
    numbers = 0;
    replaced = [];
    bad_nonces = 0;
    unavailable = 0;
    unavailable_at = None;
    cut = 0;
    cut_at = None;
    scheme = "http";
    other_name = None;
    refuses_replaces = None;
    rate_limited = None;
    validation_seconds = 0.;
    issue_seconds = 0.;
    chain = Good;
    lifetime = 90. *. 86400.;
    window = None;
    external_key = None;
  }

let count t path = List.length (List.filter (String.starts_with ~prefix:path) t.requests)

(* Responses *)

let nonce t =
  let nonce = base64 (Soil.Random.string 12) in
  Hashtbl.replace t.nonces nonce ();
  nonce

let respond t ?(status = `OK) ?(headers = []) ?(kind = "application/json") text =
  let headers = Header.of_list (("replay-nonce", nonce t) :: ("content-type", kind) :: headers) in
  Server.string ~status ~headers text

let json t ?status ?headers value = respond t ?status ?headers (Yojson.Safe.to_string value)

exception Problem of Cohttp.Code.status_code * string * string * (string * string) list

let problem ?(status = `Bad_request) ?(headers = []) kind detail =
  raise (Problem (status, kind, detail, headers))

let problem_json kind detail =
  `Assoc [ ("type", `String ("urn:ietf:params:acme:error:" ^ kind)); ("detail", `String detail) ]

(* Signed requests: RFC 8555 §6 *)

let member = Yojson.Safe.Util.member
let text name json = Yojson.Safe.Util.to_string (member name json)
let parse s = Result.get_ok (Soil_http_yojson.parse s)

let public_key jwk =
  let point = "\004" ^ of_base64 (text "x" jwk) ^ of_base64 (text "y" jwk) in
  match Dsa.pub_of_octets point with Ok key -> key | Error _ -> problem "badPublicKey" ""

let thumbprint jwk =
  let member name = Printf.sprintf "%S:%S" name (text name jwk) in
  let members = String.concat "," (List.map member [ "crv"; "kty"; "x"; "y" ]) in
  base64 (Soil.Sha256.digest ("{" ^ members ^ "}"))

let signed t request =
  let jws = parse (Server.body_string request) in
  let protected_ = text "protected" jws and payload = text "payload" jws in
  let header = parse (of_base64 protected_) in
  if Server.header request "content-type" <> Some "application/jose+json" then
    problem "malformed" "content type";
  if text "url" header <> base ^ Server.path request then problem "unauthorized" "url";
  if text "alg" header <> "ES256" then problem "badSignatureAlgorithm" "alg";
  let nonce = text "nonce" header in
  let is_known = Hashtbl.mem t.nonces nonce in
  Hashtbl.remove t.nonces nonce;
  t.numbers <- t.numbers + 1;
  if (not is_known) || (t.bad_nonces > 0 && t.numbers mod t.bad_nonces = 0) then
    problem "badNonce" "another one";
  let account, key =
    match member "kid" header with
    | `String kid -> (
        let name = Filename.basename kid in
        match Hashtbl.find_opt t.accounts name with
        | Some key -> (name, key)
        | None -> problem "accountDoesNotExist" kid)
    | _ ->
        let jwk = member "jwk" header in
        (thumbprint jwk, public_key jwk)
  in
  let signature = of_base64 (text "signature" jws) in
  let pair = (String.sub signature 0 32, String.sub signature 32 32) in
  if not (Dsa.verify ~key pair (Soil.Sha256.digest (protected_ ^ "." ^ payload))) then
    problem "unauthorized" "signature";
  let payload = of_base64 payload in
  (account, key, header, if payload = "" then `Null else parse payload)

(* Validation *)

let http_01 t (a : authorization) expected =
  let uri = Uri.of_string ("http://" ^ a.name ^ "/.well-known/acme-challenge/" ^ a.token) in
  let client = Soil_http.Client.create ~connect:(fun ~host:_ ~port:_ -> t.reach 80) () in
  let response, body = Soil_http.Client.get client uri in
  if response.status = `OK && String.trim body = expected then None
  else Some ("the server says " ^ body)

(* A handshake of TLS 1.2, in which the certificate isn't encrypted. *)
let vector width s =
  let n = String.length s in
  let bytes = List.init width (fun i -> Char.chr ((n lsr (8 * (width - 1 - i))) land 255)) in
  String.of_seq (List.to_seq bytes) ^ s

let hello name =
  let extension number contents = Printf.sprintf "\000%c" (Char.chr number) ^ vector 2 contents in
  let extensions =
    String.concat ""
      [
        extension 0 (vector 2 ("\000" ^ vector 2 name));
        extension 10 (vector 2 "\000\029\000\023");
        extension 11 (vector 1 "\000");
        extension 13 (vector 2 "\004\003\005\003");
        extension 16 (vector 2 (vector 1 "acme-tls/1"));
        extension 23 "";
      ]
  in
  let body =
    "\003\003" ^ String.make 32 'r' ^ vector 1 "" ^ vector 2 "\192\043\192\044" ^ vector 1 "\000"
    ^ vector 2 extensions
  in
  "\022\003\001" ^ vector 2 ("\001" ^ vector 3 body)

let take n s = (String.sub s 0 n, String.sub s n (String.length s - n))
let number s = String.fold_left (fun n c -> (n lsl 8) lor Char.code c) 0 s

let rec messages s =
  if String.length s < 4 then []
  else
    let n = number (String.sub s 1 3) in
    if String.length s < 4 + n then []
    else (s.[0], String.sub s 4 n) :: messages (snd (take (4 + n) s))

let contains s part =
  let n = String.length part in
  let rec go i = i + n <= String.length s && (String.sub s i n = part || go (i + 1)) in
  go 0

let identifier = Asn.OID.(base 1 3 <|| [ 6; 1; 5; 5; 7; 1; 31 ])

let tls_alpn_01 t (a : authorization) expected =
  let c = t.reach 443 in
  Soil.File_descriptor.with_close c @@ fun c ->
  Soil.File_descriptor.write_string c (hello a.name);
  let reader = Soil.Reader.create c in
  let rec receive handshake =
    let got = messages handshake in
    if List.mem_assoc '\011' got then got
    else
      let head = Soil.Reader.take reader 5 in
      let body = Soil.Reader.take reader (number (String.sub head 3 2)) in
      if head.[0] = '\022' then receive (handshake ^ body) else []
  in
  match receive "" with
  | exception End_of_file -> Some "the connection ended"
  | [] -> Some "an alert"
  | got ->
      let certificate = snd (take 3 (List.assoc '\011' got)) in
      let length, rest = take 3 certificate in
      let certificate =
        Result.get_ok (X509.Certificate.decode_der (fst (take (number length) rest)))
      in
      let digest = "\004\032" ^ Soil.Sha256.digest expected in
      let found = X509.Extension.(find (Unsupported identifier)) in
      let extensions = X509.Certificate.extensions certificate in
      let host = Domain_name.(host_exn (of_string_exn a.name)) in
      if not (contains (List.assoc '\002' got) "acme-tls/1") then Some "ALPN"
      else if not (X509.Certificate.supports_hostname certificate host) then Some "the name"
      else if found extensions <> Some (true, digest) then Some "acmeIdentifier"
      else None

let validate t a kind account =
  let expected = a.token ^ "." ^ account in
  a.state <- `Processing (now () +. t.validation_seconds, "");
  let check = if kind = "http-01" then http_01 else tls_alpn_01 in
  let result =
    match check t a expected with
    | r -> r
    | exception (Soil.Error.Error _ | Soil_http.Client.Failed _) -> Some "no connection"
  in
  let reason = Option.value result ~default:"" in
  a.state <- `Processing (now () +. t.validation_seconds, reason)

let state (a : authorization) =
  (match a.state with
  | `Processing (at, reason) when now () >= at ->
      a.state <- (if reason = "" then `Valid else `Invalid reason)
  | _ -> ());
  match a.state with
  | `Pending -> ("pending", None)
  | `Processing _ -> ("pending", None)
  | `Valid -> ("valid", None)
  | `Invalid reason -> ("invalid", Some reason)

(* Resources *)

let new_number t =
  t.numbers <- t.numbers + 1;
  t.numbers

let authorization_json t id (a : authorization) =
  let status, error = state a in
  let name = Option.value t.other_name ~default:a.name in
  let challenge kind =
    let error = Option.map (fun e -> ("error", problem_json "unauthorized" e)) error in
    `Assoc
      ([
         ("type", `String kind);
         ("url", `String (Printf.sprintf "%s/challenge/%d/%s" base id kind));
         ("token", `String a.token);
         ("status", `String status);
       ]
      @ Option.to_list error)
  in
  `Assoc
    [
      ("identifier", `Assoc [ ("type", `String "dns"); ("value", `String name) ]);
      ("status", `String status);
      ("challenges", `List (List.map challenge [ "dns-01"; "http-01"; "tls-alpn-01" ]));
    ]

let order_status t (o : order) =
  let states =
    List.map (fun id -> fst (state (Hashtbl.find t.authorizations id))) o.authorizations
  in
  match o.finalized with
  | Some (at, _) -> if now () >= at then "valid" else "processing"
  | None ->
      if List.mem "invalid" states then "invalid"
      else if List.for_all (( = ) "valid") states then "ready"
      else "pending"

let order_json t id (o : order) =
  let url kind id = `String (Printf.sprintf "%s://%s/%s/%d" t.scheme host kind id) in
  let status = order_status t o in
  `Assoc
    ([
       ("status", `String status);
       ("authorizations", `List (List.map (url "authorization") o.authorizations));
       ("finalize", url "finalize" id);
     ]
    @ if status = "valid" then [ ("certificate", url "certificate" id) ] else [])

let new_account t account key payload =
  (match (t.external_key, member "externalAccountBinding" payload) with
  | None, _ -> ()
  | Some _, `Null -> problem ~status:`Forbidden "externalAccountRequired" "no binding"
  | Some secret, binding ->
      let signed = text "protected" binding ^ "." ^ text "payload" binding in
      if of_base64 (text "signature" binding) <> Soil.Sha256.hmac ~key:secret signed then
        problem "unauthorized" "binding");
  if member "termsOfServiceAgreed" payload <> `Bool true then
    problem ~status:`Forbidden "userActionRequired" "agree to the terms";
  let status = if Hashtbl.mem t.accounts account then `OK else `Created in
  Hashtbl.replace t.accounts account key;
  json t ~status ~headers:[ ("location", base ^ "/account/" ^ account) ] (`Assoc [])

let new_order t payload =
  (match t.rate_limited with
  | Some s ->
      problem ~status:`Too_many_requests
        ~headers:[ ("retry-after", string_of_int s) ]
        "rateLimited" "too many certificates"
  | None -> ());
  (match (member "replaces" payload, t.refuses_replaces) with
  | `String id, Some status -> problem ~status "unauthorized" id
  | `String id, None when List.mem id t.replaced -> problem ~status:`Conflict "alreadyReplaced" id
  | `String id, None -> t.replaced <- id :: t.replaced
  | _ -> ());
  let names = List.map (text "value") (Yojson.Safe.Util.to_list (member "identifiers" payload)) in
  let authorize name =
    let id = new_number t in
    let token = base64 (Soil.Random.string 20) in
    Hashtbl.replace t.authorizations id { name; token; state = `Pending };
    id
  in
  let order = { names; authorizations = List.map authorize names; finalized = None } in
  let id = new_number t in
  Hashtbl.replace t.orders id order;
  let headers = [ ("location", Printf.sprintf "%s/order/%d" base id) ] in
  json t ~status:`Created ~headers (order_json t id order)

let chain_of t (o : order) request =
  let from = now () in
  let until = if t.chain = Expired then from -. 1. else from +. t.lifetime in
  let info = X509.Signing_request.info request in
  let names = if t.chain = Other_names then [ "other.example" ] else o.names in
  let extensions =
    X509.Extension.(
      singleton Subject_alt_name (false, X509.General_name.singleton DNS names)
      |> add Authority_key_id (false, (Some key_id, X509.General_name.empty, None)))
  in
  let sign request =
    Result.get_ok
      (X509.Signing_request.sign request
         ~valid_from:(time (from -. 3600.))
         ~valid_until:(time until) ~extensions ~subject:info.subject t.key (dn "test CA"))
  in
  let other () = Result.get_ok (X509.Signing_request.create [] (X509.Private_key.generate `P256)) in
  let leaf = sign (if t.chain = Other_key then other () else request) in
  let pem = X509.Certificate.encode_pem_multiple in
  match t.chain with
  | Empty -> ""
  | Long -> pem (leaf :: List.init 10 (fun _ -> t.root))
  | Huge -> String.concat "" (List.init 500 (fun _ -> pem [ leaf; t.root ]))
  | Wrong_order -> pem [ leaf; leaf; t.root ]
  | Good | Other_key | Other_names | Expired -> pem [ leaf; t.root ]

let finalize t id payload =
  let order = Hashtbl.find t.orders id in
  if order_status t order <> "ready" then
    problem ~status:`Forbidden "orderNotReady" (order_status t order);
  let request = Result.get_ok (X509.Signing_request.decode_der (of_base64 (text "csr" payload))) in
  let hosts = X509.Host.Set.elements (X509.Signing_request.hostnames request) in
  let named = List.map (fun (_, host) -> Domain_name.to_string host) hosts in
  if List.sort compare named <> List.sort compare order.names then problem "badCSR" "names";
  order.finalized <- Some (now () +. t.issue_seconds, chain_of t order request);
  json t ~headers:[ ("retry-after", "2") ] (order_json t id order)

let directory t =
  let url name = (name, `String (base ^ "/" ^ name)) in
  let names = [ "newNonce"; "newAccount"; "newOrder" ] in
  let names = if t.window = None then names else "renewalInfo" :: names in
  json t (`Assoc (List.map url names))

let renewal_info t =
  let first, last = Option.get t.window in
  let text time = `String (Soil_http.Date.to_rfc_3339 time) in
  json t (`Assoc [ ("suggestedWindow", `Assoc [ ("start", text first); ("end", text last) ]) ])

let answer t request =
  let path = Server.path request in
  let parts = List.tl (String.split_on_char '/' path) in
  match (Server.meth request, parts) with
  | `GET, [ "directory" ] -> directory t
  | `GET, [ "renewalInfo"; _ ] -> renewal_info t
  | `HEAD, [ "newNonce" ] -> respond t ""
  | `POST, _ -> (
      let account, key, header, payload = signed t request in
      if path <> "/newAccount" && member "kid" header = `Null then problem "malformed" "no kid";
      match parts with
      | [ "newAccount" ] -> new_account t account key payload
      | [ "newOrder" ] -> new_order t payload
      | [ "authorization"; id ] ->
          let id = int_of_string id in
          json t (authorization_json t id (Hashtbl.find t.authorizations id))
      | [ "challenge"; id; kind ] ->
          let id = int_of_string id in
          let a = Hashtbl.find t.authorizations id in
          validate t a kind account;
          json t (`Assoc [])
      | [ "order"; id ] ->
          let id = int_of_string id in
          json t (order_json t id (Hashtbl.find t.orders id))
      | [ "finalize"; id ] -> finalize t (int_of_string id) payload
      | [ "certificate"; id ] ->
          let order = Hashtbl.find t.orders (int_of_string id) in
          respond t ~kind:"application/pem-certificate-chain" (snd (Option.get order.finalized))
      | _ -> problem ~status:`Not_found "malformed" path)
  | _ -> problem ~status:`Not_found "malformed" path

let handler t request =
  t.requests <- Server.path request :: t.requests;
  let is_at =
    Option.fold ~none:false ~some:(fun prefix -> String.starts_with ~prefix (Server.path request))
  in
  if t.unavailable > 0 then (
    t.unavailable <- t.unavailable - 1;
    Server.status `Service_unavailable)
  else if is_at t.unavailable_at then (
    t.unavailable_at <- None;
    Server.status `Service_unavailable)
  else
    let response =
      match answer t request with
      | response -> response
      | exception Problem (status, kind, detail, headers) ->
          respond t ~status ~headers ~kind:"application/problem+json"
            (Yojson.Safe.to_string (problem_json kind detail))
    in
    let is_cut = is_at t.cut_at in
    if is_cut then t.cut_at <- None;
    if t.cut > 0 || is_cut then (
      t.cut <- max 0 (t.cut - 1);
      Server.stream ~length:1000 (fun _ -> failwith "cut"))
    else response
