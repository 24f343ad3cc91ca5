module Client = Soil_http.Client
module Header = Cohttp.Header

type endpoints = { nonce : Uri.t; account : Uri.t; order : Uri.t; renewal : Uri.t option }
type external_account = { kid : string; secret : string }

type t = {
  client : Client.t;
  key : Jws.key;
  directory : Uri.t;
  endpoints : endpoints;
  mutable nonces : string list;
  mutable kid : string option;
}

(* Limits *)

let max_json = 64 * 1024
let max_values = 2000
let max_url = 2000
let max_nonces = 4
let max_bad_nonces = 10
let max_retries = 4
let max_challenges = 20
let request_seconds = 60.

(* A server that wants a longer pause ends the attempt. *)
let max_pause = 60.

(* Requests *)

type response = { status : int; headers : Header.t; body : string }

let read_limited operation uri source max =
  let buffer = Buffer.create 4096 and b = Bytes.create 4096 in
  let rec go () =
    match Soil.File_descriptor.read source b 0 (Bytes.length b) with
    | 0 -> Buffer.contents buffer
    | n ->
        Buffer.add_subbytes buffer b 0 n;
        if Buffer.length buffer > max then
          Failure.fail operation (Uri.to_string uri)
            ~detail:(Printf.sprintf "the response has more than %d bytes" max);
        go ()
  in
  go ()

let send client ?(headers = []) ?body ~max operation meth uri =
  Soil.Task.timeout request_seconds @@ fun () ->
  let headers = Header.of_list (("user-agent", "soil-web.acme") :: headers) in
  Client.request ~headers ?body client meth uri @@ fun response source ->
  {
    status = Cohttp.Code.code_of_status response.status;
    headers = response.headers;
    body = read_limited operation uri source max;
  }

let retry_after response =
  let parse s =
    match int_of_string_opt s with
    | Some n when n >= 0 -> Some (float n)
    | Some _ -> None
    | None ->
        Option.map (fun t -> Float.max 0. (t -. Soil.Clock.now ())) (Soil_http.Date.of_string s)
  in
  Option.bind (Header.get response.headers "retry-after") parse

let is_json text_type = String.starts_with ~prefix:"application/problem+json" text_type

let problem response =
  let text_type = Option.value (Header.get response.headers "content-type") ~default:"" in
  let parsed =
    if is_json text_type then
      Result.to_option (Soil_http_yojson.parse ~max_depth:10 ~max_values response.body)
    else None
  in
  let p = Problem.of_json (Option.value parsed ~default:(`Assoc [])) in
  if p.status = 0 then { p with status = response.status } else p

let is_success response = response.status >= 200 && response.status < 300

let refuse operation uri response =
  Failure.fail operation (Uri.to_string uri) ~problem:(problem response)
    ?retry_after:(retry_after response)

(* What may succeed in a moment. *)
let is_transient = function
  | Soil.Error.Error { code = Bad_configuration | Certificate | Out_of_memory; _ } -> false
  | Soil.Error.Error _ | Soil.Task.Timeout _ -> true
  | Client.Failed (_, (Malformed | Truncated | Too_slow)) -> true
  | _ -> false

(* [retrying f] is [f ()], again after a failure of the connection or of the server. *)
let retrying operation uri f =
  let rec go n =
    let again pause =
      Soil.Clock.sleep pause;
      go (n + 1)
    in
    let pause = Float.ldexp 1. n in
    match f () with
    | response when response.status >= 500 ->
        let wanted = Option.value (retry_after response) ~default:pause in
        if n = max_retries || wanted > max_pause then refuse operation uri response
        else again (Float.max 1. wanted)
    | response -> response
    | exception e when n < max_retries && is_transient e -> again pause
  in
  go 0

(* Objects *)

let parse operation uri body =
  match Soil_http_yojson.parse ~max_depth:10 ~max_values body with
  | Ok json -> json
  | Error e -> Failure.fail operation (Uri.to_string uri) ~detail:("malformed JSON: " ^ e)

let member name = function
  | `Assoc fields -> Option.value (List.assoc_opt name fields) ~default:`Null
  | _ -> `Null

let malformed operation uri name =
  Failure.fail operation (Uri.to_string uri)
    ~detail:(Printf.sprintf "the field %S is missing or malformed" name)

let text_opt name json = match member name json with `String s -> Some s | _ -> None

let text operation uri name json =
  match text_opt name json with Some s -> s | None -> malformed operation uri name

let list operation uri ~max name json =
  match member name json with
  | `List l when List.compare_length_with l max <= 0 -> l
  | _ -> malformed operation uri name

(* No URL leads from https to http. *)
let url operation uri ~scheme name s =
  let target = Uri.of_string s in
  let is_valid =
    String.length s <= max_url
    && Uri.scheme target = scheme
    && Option.fold ~none:false ~some:(( <> ) "") (Uri.host target)
  in
  if is_valid then target else malformed operation uri name

(* The directory *)

let connect client directory key =
  let operation = "directory" in
  let get () = send client ~max:max_json operation `GET directory in
  let response = retrying operation directory get in
  if not (is_success response) then refuse operation directory response;
  let json = parse operation directory response.body in
  let url = url operation directory ~scheme:(Uri.scheme directory) in
  let required name = url name (text operation directory name json) in
  let endpoints =
    {
      nonce = required "newNonce";
      account = required "newAccount";
      order = required "newOrder";
      renewal = Option.map (url "renewalInfo") (text_opt "renewalInfo" json);
    }
  in
  { client; key; directory; endpoints; nonces = []; kid = None }

(* Nonces and signed requests *)

let remember_nonce t response =
  match Header.get response.headers "replay-nonce" with
  | Some nonce
    when Jws.is_base64 nonce && String.length nonce <= max_url && List.length t.nonces < max_nonces
    ->
      t.nonces <- nonce :: t.nonces
  | Some _ | None -> ()

let rec take_nonce t =
  match t.nonces with
  | nonce :: rest ->
      t.nonces <- rest;
      nonce
  | [] ->
      let uri = t.endpoints.nonce in
      let get () = send t.client ~max:max_json "newNonce" `HEAD uri in
      let response = retrying "newNonce" uri get in
      if not (is_success response) then refuse "newNonce" uri response;
      remember_nonce t response;
      if t.nonces = [] then malformed "newNonce" uri "Replay-Nonce";
      take_nonce t

let post t ?(accept = "application/json") ?(max = max_json) operation uri payload =
  let url = Uri.to_string uri in
  let headers = [ ("content-type", "application/jose+json"); ("accept", accept) ] in
  let once () =
    let nonce = take_nonce t in
    let body = Client.String (Jws.sign t.key ?kid:t.kid ~nonce ~url payload) in
    let response = send t.client ~headers ~body ~max operation `POST uri in
    remember_nonce t response;
    response
  in
  let rec with_nonce n =
    let response = once () in
    let is_bad () = response.status = 400 && (problem response).kind = "badNonce" in
    if n < max_bad_nonces && is_bad () then with_nonce (n + 1) else response
  in
  let response = retrying operation uri (fun () -> with_nonce 0) in
  if is_success response then response else refuse operation uri response

let post_json t operation uri json =
  let response = post t operation uri (Yojson.Safe.to_string json) in
  (response, parse operation uri response.body)

let read t operation uri =
  let response = post t operation uri "" in
  (response, parse operation uri response.body)

let url_of t operation uri name s = url operation uri ~scheme:(Uri.scheme t.directory) name s

let location t operation uri response =
  match Header.get response.headers "location" with
  | Some s -> url_of t operation uri "Location" s
  | None -> malformed operation uri "Location"

(* Accounts *)

let register t ~contact ~terms_agreed external_account =
  let uri = t.endpoints.account in
  let bind ({ kid; secret } : external_account) =
    ("externalAccountBinding", Jws.bind t.key ~kid ~secret ~url:(Uri.to_string uri))
  in
  let fields =
    (if terms_agreed then [ ("termsOfServiceAgreed", `Bool true) ] else [])
    @ (if contact = [] then [] else [ ("contact", `List (List.map (fun s -> `String s) contact)) ])
    @ List.map bind (Option.to_list external_account)
  in
  let response, _ = post_json t "newAccount" uri (`Assoc fields) in
  t.kid <- Some (Uri.to_string (location t "newAccount" uri response))

(* Orders *)

type challenge =
  | Http_01 of { token : string; authorization : string }
  | Tls_alpn_01 of { authorization : string }
  | Dns_01 of { value : string }

type kind = [ `Http_01 | `Tls_alpn_01 | `Dns_01 ]

let max_interval = 30.

(* [poll f] is the first result of [f ()], which is [Error response] until there is one. *)
let poll f =
  let rec go interval =
    match f () with
    | Ok v -> v
    | Error response ->
        let wanted = Option.value (retry_after response) ~default:interval in
        Soil.Clock.sleep (Float.min max_interval (Float.max 1. wanted));
        go (Float.min max_interval (2. *. interval))
  in
  go 1.

let problem_in json name =
  match member name json with `Assoc _ as error -> Some (Problem.of_json error) | _ -> None

let kind_name = function
  | `Http_01 -> "http-01"
  | `Tls_alpn_01 -> "tls-alpn-01"
  | `Dns_01 -> "dns-01"

let challenge t kind token =
  let authorization = token ^ "." ^ Jws.thumbprint t.key in
  match kind with
  | `Http_01 -> Http_01 { token; authorization }
  | `Tls_alpn_01 -> Tls_alpn_01 { authorization }
  | `Dns_01 -> Dns_01 { value = Jws.base64 (Soil.Sha256.digest authorization) }

let identifier name =
  let kind = match name with Certificate.Dns _ -> "dns" | Ip _ -> "ip" in
  `Assoc [ ("type", `String kind); ("value", `String (Certificate.name_to_string name)) ]

let of_identifier uri json =
  let operation = "authorization" in
  match Certificate.name (text operation uri "value" (member "identifier" json)) with
  | name -> name
  | exception Invalid_argument _ -> malformed operation uri "identifier"

let why_invalid challenges =
  List.find_map (fun challenge -> problem_in challenge "error") challenges

let invalid uri json status =
  let operation = "authorization" in
  let name = Certificate.name_to_string (of_identifier uri json) in
  let challenges = list operation uri ~max:max_challenges "challenges" json in
  let detail = "the authorization is " ^ status in
  Failure.fail operation name ~detail ?problem:(why_invalid challenges)

(* Ends when the authorization is valid. *)
let validate t uri =
  let operation = "authorization" in
  poll @@ fun () ->
  let response, json = read t operation uri in
  match text operation uri "status" json with
  | "valid" -> Ok ()
  | "pending" | "processing" -> Error response
  | status -> invalid uri json status

(* Publishes a challenge, and is the functions that ask for its validation, and end it. *)
let begin_authorization t ~names ~choose ~publish uri =
  let operation = "authorization" in
  let _, json = read t operation uri in
  let name = of_identifier uri json in
  match text operation uri "status" json with
  | "valid" -> None
  | "pending" -> (
      let wildcard = member "wildcard" json = `Bool true in
      let requested =
        match name with
        | Certificate.Dns s when wildcard -> Certificate.Dns ("*." ^ s)
        | name -> name
      in
      if not (List.mem requested names) then malformed operation uri "identifier";
      let challenges = list operation uri ~max:max_challenges "challenges" json in
      let find kind =
        let is_one json = text_opt "type" json = Some (kind_name kind) in
        Option.map (fun json -> (kind, json)) (List.find_opt is_one challenges)
      in
      match List.find_map find (choose ~wildcard name) with
      | None ->
          let offered = List.filter_map (text_opt "type") challenges in
          Failure.fail operation
            (Certificate.name_to_string requested)
            ~detail:
              ("none of the challenges that the CA offers is configured: "
              ^ Problem.to_string
                  (Problem.of_json (`Assoc [ ("type", `String (String.concat ", " offered)) ])))
      | Some (kind, json) ->
          let target = url_of t operation uri "url" (text operation uri "url" json) in
          let token = text operation uri "token" json in
          if not (Jws.is_token token) then malformed operation uri "token";
          let withdraw = publish name (challenge t kind token) in
          let ask () = ignore (post_json t "challenge" target (`Assoc [])) in
          Some (ask, withdraw))
  | status -> invalid uri json status

let authorize t ~names ~choose ~publish uris =
  let started = ref [] in
  let withdraw () = List.iter (fun (_, withdraw) -> withdraw ()) !started in
  Soil.Private.finally (fun () -> Soil.Task.protect withdraw) @@ fun () ->
  let start uri =
    Option.iter
      (fun one -> started := one :: !started)
      (begin_authorization t ~names ~choose ~publish uri)
  in
  List.iter start uris;
  List.iter (fun (ask, _) -> ask ()) !started;
  List.iter (validate t) uris

let subject names = Certificate.name_to_string (List.hd names)

let order_failed names json status =
  Failure.fail "order" (subject names) ~detail:("the order is " ^ status)
    ?problem:(problem_in json "error")

let new_order t ~names ~replaces =
  let uri = t.endpoints.order in
  let fields = [ ("identifiers", `List (List.map identifier names)) ] in
  let replaces = if t.endpoints.renewal = None then None else replaces in
  let post more = post_json t "newOrder" uri (`Assoc (fields @ more)) in
  match replaces with
  | None -> post []
  | Some id -> (
      match post [ ("replaces", `String id) ] with
      | answer -> answer
      (* The other one may have been replaced, or be another account's or CA's: RFC 9773 §5. *)
      | exception Failure.Failed { problem = Some { kind; _ }; retry_after = None; _ }
        when kind <> "rateLimited" ->
          post [])

(* The order once its status is one of [statuses]. *)
let await t ~names uri statuses =
  poll @@ fun () ->
  let response, json = read t "order" uri in
  match text "order" uri "status" json with
  | status when List.mem status statuses -> Ok json
  | "pending" | "ready" | "processing" -> Error response
  | status -> order_failed names json status

let finalize t ~names uri json key_type =
  let target = url_of t "order" uri "finalize" (text "order" uri "finalize" json) in
  let key, request = Certificate.request key_type names in
  let csr = `Assoc [ ("csr", `String (Jws.base64 request)) ] in
  (match post_json t "finalize" target csr with
  | _ -> ()
  (* The answer to an earlier try may have been lost. *)
  | exception Failure.Failed { problem = Some { kind = "orderNotReady"; _ }; _ } -> ());
  let json = await t ~names uri [ "valid" ] in
  let certificate = url_of t "order" uri "certificate" (text "order" uri "certificate" json) in
  let accept = "application/pem-certificate-chain" in
  let response = post t ~accept ~max:(Store.max_bytes / 2) "certificate" certificate "" in
  { Certificate.key; chain = response.body }

let order t ~names ~replaces ~choose ~publish ~key_type =
  let response, json = new_order t ~names ~replaces in
  let uri = location t "newOrder" t.endpoints.order response in
  let max = 2 * List.length names in
  let authorization = function
    | `String s -> url_of t "newOrder" uri "authorizations" s
    | _ -> malformed "newOrder" uri "authorizations"
  in
  let uris = List.map authorization (list "newOrder" uri ~max "authorizations" json) in
  (match text "newOrder" uri "status" json with
  | "pending" -> authorize t ~names ~choose ~publish uris
  | "ready" -> ()
  | status -> order_failed names json status);
  let json = await t ~names uri [ "ready" ] in
  finalize t ~names uri json key_type

(* Renewal information *)

type window = { first : float; last : float; explanation : string option; again : float option }

let moment uri name json =
  match Option.map Ptime.of_rfc3339 (text_opt name json) with
  | Some (Ok (time, _, _)) -> Ptime.to_float_s time
  | Some (Error _) | None -> malformed "renewalInfo" uri name

let renewal_info t id =
  let ask base =
    let uri = Uri.of_string (Uri.to_string base ^ "/" ^ id) in
    let get () = send t.client ~max:max_json "renewalInfo" `GET uri in
    let response = retrying "renewalInfo" uri get in
    if not (is_success response) then refuse "renewalInfo" uri response;
    let json = parse "renewalInfo" uri response.body in
    let window = member "suggestedWindow" json in
    let first = moment uri "start" window and last = moment uri "end" window in
    if last < first then malformed "renewalInfo" uri "end";
    let explanation = text_opt "explanationURL" json in
    { first; last; explanation; again = retry_after response }
  in
  Option.map ask t.endpoints.renewal
