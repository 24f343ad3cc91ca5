module Certificate = X509.Certificate
module Extension = X509.Extension
module Request = X509.Signing_request

type name = Dns of string | Ip of Ipaddr.t

let host s = Result.bind (Domain_name.of_string s) Domain_name.host

let name s =
  match Ipaddr.of_string s with
  | Ok ip -> Ip ip
  | Error _ ->
      let lower = String.lowercase_ascii s in
      let wildcard = String.starts_with ~prefix:"*." lower in
      let base = if wildcard then String.sub lower 2 (String.length lower - 2) else lower in
      if Result.is_error (host base) then invalid_arg ("Soil_acme: not a name: " ^ s);
      Dns lower

let name_to_string = function Dns s -> s | Ip ip -> Ipaddr.to_string ip
let server_name = function Dns s -> s | Ip ip -> Domain_name.to_string (Ipaddr.to_domain_name ip)

type key_type = [ `P256 | `P384 ]
type pair = { chain : string; key : string }

(* The key comes first: a chain may have any number of certificates. *)
let to_string p = p.key ^ p.chain
let chain_begins = "-----BEGIN CERTIFICATE-----"

let of_string s =
  let n = String.length chain_begins in
  let rec find i =
    if i + n > String.length s then None
    else if String.sub s i n = chain_begins then
      Some { key = String.sub s 0 i; chain = String.sub s i (String.length s - i) }
    else find (i + 1)
  in
  find 0

type t = {
  pair : pair;
  valid_from : float;
  valid_until : float;
  id : string option;
  complete : bool;
}

let max_certificates = 10

(* Tag and length are a byte each in a serial number, which has at most 20 bytes. *)
let id certificate =
  match Extension.find Authority_key_id (Certificate.extensions certificate) with
  | Some (_, (Some issuer, _, _)) ->
      Some (Jws.base64 issuer ^ "." ^ Jws.base64 (Certificate.serial certificate))
  | Some (_, (None, _, _)) | None -> None

let is_for certificate = function
  | Ip ip -> Certificate.supports_ip certificate ip
  | Dns s when String.starts_with ~prefix:"*." s ->
      let base = String.sub s 2 (String.length s - 2) in
      let is_same (kind, host) = kind = `Wildcard && Domain_name.to_string host = base in
      X509.Host.Set.exists is_same (Certificate.hostnames certificate)
  | Dns s -> (
      match host s with
      | Ok host -> Certificate.supports_hostname certificate host
      | Error _ -> false)

(* Each certificate has signed the one before. [x509] verifies paths to an anchor only: here it is
   the last certificate, whose own issuer is the clients' business. *)
let verify_order leaf rest =
  match List.rev rest with
  | [] -> Ok ()
  | anchor :: between -> (
      let time () = None in
      let chain = leaf :: List.rev between in
      match X509.Validation.verify_chain ~host:None ~time ~anchors:[ anchor ] chain with
      | Ok _ -> Ok ()
      | Error e ->
          let text = Format.asprintf "%a" X509.Validation.pp_chain_error e in
          let line = String.map (function '\n' -> ' ' | c -> c) text in
          Error ("a certificate of the chain hasn't signed the one before: " ^ line))

let ( let* ) = Result.bind
let message r = Result.map_error (fun (`Msg m) -> m) r

let read ~names pair =
  let* key = message (X509.Private_key.decode_pem pair.key) |> Result.map X509.Private_key.public in
  let* chain = message (Certificate.decode_pem_multiple pair.chain) in
  match chain with
  | [] -> Error "the chain is empty"
  | _ when List.compare_length_with chain max_certificates > 0 ->
      Error (Printf.sprintf "the chain has more than %d certificates" max_certificates)
  | leaf :: rest ->
      let same key = X509.Public_key.encode_der key in
      let* () =
        if same (Certificate.public_key leaf) = same key then Ok ()
        else Error "the first certificate of the chain is for another key"
      in
      let* () = verify_order leaf rest in
      let first, last = Certificate.validity leaf in
      Ok
        {
          pair;
          valid_from = Ptime.to_float_s first;
          valid_until = Ptime.to_float_s last;
          id = id leaf;
          complete = List.for_all (is_for leaf) names;
        }

let check ~names ~now pair =
  let* t = read ~names pair in
  if not t.complete then Error "the certificate lacks some of the names"
  else if t.valid_until <= now then
    Error ("the certificate has ended on " ^ Soil_http.Date.to_rfc_3339 t.valid_until)
  else Ok t

(* Making *)

let alternatives names =
  let dns = List.filter_map (function Dns s -> Some s | Ip _ -> None) names in
  let ips =
    List.filter_map (function Ip ip -> Some (Ipaddr.to_octets ip) | Dns _ -> None) names
  in
  let add kind l map = if l = [] then map else X509.General_name.add kind l map in
  let names = X509.General_name.empty |> add DNS dns |> add IP ips in
  Extension.singleton Subject_alt_name (false, names)

(* Fails only for keys and digests that don't go together. *)
let made = function Ok v -> v | Error _ -> assert false

(* PKCS#8 with the public key, which ring wants, and [x509] leaves out (RFC 5915): what is before
   the private key, and between it and the public key. *)
let p256_frame =
  ( "\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20",
    "\xa1\x44\x03\x42\x00" )

let p384_frame =
  ( "\x30\x81\xb6\x02\x01\x00\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x04\x81\x9e\x30\x81\x9b\x02\x01\x01\x04\x30",
    "\xa1\x64\x03\x62\x00" )

let key_pem (before, between) secret point =
  let text = Base64.encode_string (before ^ secret ^ between ^ point) in
  let rec lines i =
    if i >= String.length text then []
    else String.sub text i (min 64 (String.length text - i)) :: lines (i + 64)
  in
  String.concat "\n" (("-----BEGIN PRIVATE KEY-----" :: lines 0) @ [ "-----END PRIVATE KEY-----\n" ])

(* A key and its PEM text. *)
let generate : key_type -> X509.Private_key.t * string = function
  | `P256 ->
      let module Dsa = Mirage_crypto_ec.P256.Dsa in
      let key, public = Dsa.generate () in
      (`P256 key, key_pem p256_frame (Dsa.priv_to_octets key) (Dsa.pub_to_octets public))
  | `P384 ->
      let module Dsa = Mirage_crypto_ec.P384.Dsa in
      let key, public = Dsa.generate () in
      (`P384 key, key_pem p384_frame (Dsa.priv_to_octets key) (Dsa.pub_to_octets public))

let request kind names =
  let key, pem = generate kind in
  let extensions = Request.Ext.(singleton Extensions (alternatives names)) in
  let request = made (Request.create [] ~extensions key) in
  (pem, Request.encode_der request)

let day = 86400.

let self_signed names more =
  let key, pem = generate `P256 in
  let subject = X509.Distinguished_name.[ Relative_distinguished_name.singleton (CN "ACME") ] in
  let request = made (Request.create subject key) in
  let now = Soil.Clock.now () in
  let time t = Option.value (Ptime.of_float_s t) ~default:Ptime.epoch in
  let extensions = Extension.union { f = (fun _ a _ -> Some a) } (alternatives names) more in
  let certificate =
    Request.sign request
      ~valid_from:(time (now -. day))
      ~valid_until:(time (now +. (7. *. day)))
      ~extensions key subject
  in
  { chain = Certificate.encode_pem (made certificate); key = pem }

let placeholder names = self_signed names Extension.empty
let acme_identifier = Asn.OID.(base 1 3 <|| [ 6; 1; 5; 5; 7; 1; 31 ])

let challenge name authorization =
  (* An OCTET STRING of 32 bytes. *)
  let digest = "\004\032" ^ Soil.Sha256.digest authorization in
  self_signed [ name ] (Extension.singleton (Unsupported acme_identifier) (true, digest))
