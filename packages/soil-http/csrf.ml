module Request = Server.Request
module Sha256 = Soil.Sha256

let base64 = Base64.uri_safe_alphabet
let mac sessions request = Sha256.hmac ~key:(Session.secret sessions request) "soil-http.csrf"
let xor a b = String.mapi (fun i c -> Char.chr (Char.code c lxor Char.code b.[i])) a
let pad_bytes = 32

let token sessions request =
  let pad = Soil.Random.string pad_bytes in
  Base64.encode_string ~pad:false ~alphabet:base64 (pad ^ xor (mac sessions request) pad)

let is_valid sessions request token =
  match Base64.decode ~pad:false ~alphabet:base64 token with
  | Ok s when String.length s = 2 * pad_bytes ->
      let pad = String.sub s 0 pad_bytes and rest = String.sub s pad_bytes pad_bytes in
      (* Without a session there is no token. *)
      Session.exists sessions request && Sha256.equal (xor rest pad) (mac sessions request)
  | Ok _ | Error _ -> false

(* Where a request comes from *)

let authority origin =
  match String.index_opt origin '/' with
  | Some i when String.length origin > i + 2 && origin.[i + 1] = '/' ->
      Some (String.sub origin (i + 2) (String.length origin - i - 2))
  | Some _ | None -> None

let is_from_here ~origins request =
  let origin = Server.header request "origin" in
  let is_trusted = Option.fold ~none:false ~some:(fun o -> List.mem o origins) origin in
  is_trusted
  ||
  match (Server.header request "sec-fetch-site", origin) with
  | Some site, _ -> site = "same-origin" || site = "none"
  | None, None -> true
  | None, Some origin -> (
      match (authority origin, Server.header request "host") with
      | Some a, Some b -> Grammar.equal a b
      | _ -> false)

(* Forms *)

let read : Form.t Request.key = Request.key ()

let form request =
  match Request.find request read with Some form -> form | None -> Form.read request

let is_form request =
  match Media_type.of_request request with
  | Some t -> t.name = "application/x-www-form-urlencoded"
  | None -> false

let given ~field request =
  match Server.header request "x-csrf-token" with
  | Some _ as token -> token
  | None when is_form request ->
      let form = Form.read request in
      Request.set request read form;
      Form.find form field
  | None -> None

let handler ?(field = "csrf") ?(origins = []) sessions f request =
  let refuse detail = Server.error ~detail request `Forbidden in
  match Server.meth request with
  | `GET | `HEAD | `OPTIONS | `TRACE -> f request
  | _ when not (is_from_here ~origins request) -> refuse "the request comes from another site"
  | _ -> (
      match given ~field request with
      | Some token when is_valid sessions request token -> f request
      | Some _ -> refuse "the page has expired: load it again"
      | None -> refuse "the request has no token of its page")
