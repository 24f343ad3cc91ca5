(** The client behind proxies, by [X-Forwarded-For] or by [Forwarded]
    ({{:https://www.rfc-editor.org/rfc/rfc7239}RFC 7239}).

    {[
      let proxies = Soil_http.Forwarded.by [ Soil.Net.Prefix.of_string "10.0.0.0/8" ]

      let answer request =
        match Soil_http.Forwarded.address proxies request with
        | Some address -> Server.string (Soil.Net.Address.to_string address)
        | None -> Server.status `Bad_request
    ]}

    Anyone can send these fields: only what a trusted proxy has added counts. Each proxy adds its
    peer at the end of the list. So the list is read from its end, for as long as the address before
    is that of a trusted proxy: what remains is the client, or the first address that is not
    trusted. An element without an address ([unknown], an obfuscated identifier such as [_gazonk], a
    malformed one) ends the walk as well: the address is then that of the proxy that added it, which
    many clients may share. Without a trusted peer the client is the peer, and fields are ignored.
*)

(** The type for the fields that proxies set. *)
type field =
  | X_forwarded  (** [X-Forwarded-For], [X-Forwarded-Proto] and [X-Forwarded-Host]. *)
  | Forwarded

type proxies
(** The type for trusted proxies. *)

val by : ?field:field -> Soil.Net.prefix list -> proxies
(** [by networks] is the proxies in [networks], which set [field] (default: {!X_forwarded}). Fields
    of the other kind are ignored, as a proxy may pass on those that a client has invented. *)

type origin = {
  address : Soil.Net.Address.t;
  port : int option;  (** The client's, if it is known. *)
  scheme : string option;
      (** ["http"] or ["https"], by which the client connected to the outermost trusted proxy.
          [None] if no trusted proxy says so. *)
  host : string option;
      (** What the client asked for, with or without a port; or the field [Host]. *)
}
(** The type for origins of requests. *)

val origin : proxies -> Server.request -> origin option
(** [origin p r] is the origin of [r]; [None] if {!Server.endpoint}[ r] is [None].

    [Forwarded] has scheme and host in the element of the client. Of [X-Forwarded-Proto] and
    [X-Forwarded-Host] it is the value beside the client's address, if they have as many values as
    [X-Forwarded-For], and otherwise the last value: the proxy nearest to the server must set these
    fields, or remove them. Values that are neither [http] nor [https], or not a host, are ignored.
*)

val of_headers : proxies -> peer:Soil.Net.Endpoint.t -> Cohttp.Header.t -> origin
(** [of_headers p ~peer h] is the origin of a request with the fields [h] from [peer]. *)

val address : proxies -> Server.request -> Soil.Net.Address.t option
(** [address p r] is the address in {!origin}. *)

val entry : proxies -> Server.entry -> Server.entry
(** [entry p e] is [e] with the origin's address in [peer] and [endpoint], for an access log:
    [~log:(fun e -> print_endline (Access_log.combined (Forwarded.entry proxies e)))]. *)
