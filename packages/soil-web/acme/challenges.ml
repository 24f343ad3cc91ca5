module Server = Soil_http.Server
module Tls = Soil_tls

type t = {
  store : Store.t;
  tag : string;
  mutable last : (string * Tls.server_config) option;
      (** The last challenge of TLS-ALPN-01: strangers don't cause a signature each. *)
}

let create store ~tag = { store; tag; last = None }

(* A challenge whose withdrawal fails stays, which does no harm: its token is of no use any more. *)
let published t key value =
  t.store.set key value;
  fun () -> try t.store.remove key with Soil.Error.Error _ -> ()

(* HTTP-01: RFC 8555 §8.3 *)

let http_key token = "http-01-" ^ token
let publish_http t ~token ~authorization = published t (http_key token) authorization
let prefix = "/.well-known/acme-challenge/"

let token_of path =
  if String.starts_with ~prefix path then
    let n = String.length prefix in
    let token = String.sub path n (String.length path - n) in
    if Jws.is_token token then Some token else None
  else None

let http t handler request =
  let answer token =
    match Server.meth request with `GET | `HEAD -> t.store.get (http_key token) | _ -> None
  in
  match Option.bind (token_of (Server.path request)) answer with
  | None -> handler request
  | Some authorization ->
      let headers = Cohttp.Header.init_with "content-type" "application/octet-stream" in
      Server.string ~headers authorization

(* TLS-ALPN-01: RFC 8737 *)

let protocol = "acme-tls/1"

(* The name is from a stranger: the key doesn't contain it. *)
let tls_key t name =
  let digest = Soil.Sha256.digest (t.tag ^ String.lowercase_ascii name) in
  "tls-alpn-01-" ^ Jws.base64 digest

let publish_tls t name ~authorization =
  let value = Certificate.name_to_string name ^ " " ^ authorization in
  published t (tls_key t (Certificate.server_name name)) value

let challenge_config value =
  Scanf.sscanf_opt value "%s %s" @@ fun name authorization ->
  let { Certificate.chain; key } = Certificate.challenge (Certificate.name name) authorization in
  Tls.server_config ~protocols:[ protocol ] ~sessions:0 (Tls.certificates [ (chain, key) ])

let find_config t server_name =
  match t.store.get (tls_key t server_name) with
  | None -> None
  | Some value -> (
      match t.last with
      | Some (last, config) when last = value -> Some config
      | Some _ | None ->
          let config = challenge_config value in
          Option.iter (fun config -> t.last <- Some (value, config)) config;
          config)

let no_challenge d =
  let name = Soil.File_descriptor.name d in
  let detail = "no challenge " ^ protocol ^ " is pending for this name" in
  let e = Soil.Error.Error { code = Tls; operation = "acme"; subject = name; detail } in
  Soil.Private.peer_failed d e;
  raise e

(* After the handshake there is nothing to say: RFC 8737 §3. *)
let ended c =
  let read _ _ _ = 0 in
  let write _ _ length = length in
  let close () = Soil.File_descriptor.close c in
  Soil.Flow.make ~name:protocol ~read ~write ~shutdown:ignore ~close ()

let tls t config d =
  let received = Client_hello.receive d in
  match Client_hello.parse received with
  | Some { server_name = Some name; protocols = [ p ] } when p = protocol -> (
      match find_config t name with
      | None -> no_challenge d
      | Some config ->
          let c = Tls.server ~received config d in
          (try Soil.File_descriptor.shutdown c `Send with Soil.Error.Error _ -> ());
          ended c)
  | Some _ | None -> Tls.server ~received config d
