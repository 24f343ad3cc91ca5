(** The PROXY protocol, versions 1 and 2
    ({{:https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt}specification} of HAProxy): the
    first bytes of a connection, by which a proxy or a load balancer says whose connection it passes
    on.

    {[
      let trusted = [ Soil.Net.Prefix.of_string "10.0.0.0/8" ]

      let () =
        Soil.run @@ fun () ->
        Soil.Tcp.serve (Soil.Tcp.listen ~port:7 ()) @@ fun connection ->
        let client = Soil.Proxy_protocol.client ~trusted connection in
        Soil.File_descriptor.write_string connection (Soil.Net.Endpoint.to_string client)
    ]}

    For HTTP see [client] of [Soil_http.Server.serve].

    {b Trust.} A listener can't detect whether there is a header: a client could invent one. So a
    peer in a trusted network must send it, and one outside sends none: what it sends is data, as
    with [expect-proxy layer4] of HAProxy. *)

type client = {
  source : Net.endpoint;  (** The client. *)
  destination : Net.endpoint;  (** What it connected to. *)
  fields : (int * string) list;
      (** Types (0 to 255) and values of version 2's further fields, in order, without padding and
          the checksum. *)
}
(** The type for a TCP client of the proxy. *)

(** The type for headers. *)
type header =
  | Local  (** The proxy connects for itself, such as for a health check. *)
  | Unknown  (** It doesn't say for whom, or not for TCP over IPv4 or IPv6. *)
  | Client of client

(** {1:receiving Receiving} *)

val accept : ?timeout:float -> trusted:Net.prefix list -> Tcp.connection -> header option
(** [accept ~trusted c] is {!receive}[ c] if the peer of [c] is in [trusted], and otherwise [None];
    then it has read nothing. *)

val client : ?timeout:float -> trusted:Net.prefix list -> Tcp.connection -> Net.endpoint
(** [client ~trusted c] is the source in {!accept}'s header, or else the peer of [c]. *)

val receive : ?timeout:float -> [> `Read ] File_descriptor.t -> header
(** [receive d] reads a header of either version, and nothing after it. It waits for at most
    [timeout] seconds (default: 5). Raises {!Soil.exception-Error} with [Timed_out], or with
    [Corrupt] if the input is something else, ends in the header, has a wrong checksum, or a header
    of more than {!max_bytes}. The peer is then marked as the cause: {!Tcp.serve} and
    [Soil_http.Server.serve] end the connection and log the reason in one line at level info. *)

(** {1:fields Fields of version 2} *)

val authority : client -> string option
(** [authority c] is the host name that the client asked for, in TLS its server name indication. *)

val alpn : client -> string option
(** [alpn c] is the name of the application's protocol, as negotiated by TLS. *)

val unique_id : client -> string option
(** [unique_id c] is the proxy's identifier of the connection. *)

type ssl = {
  verified : bool;  (** The client has shown a certificate that the proxy accepts. *)
  version : string option;  (** Such as ["TLSv1.3"]. *)
  cipher : string option;
  common_name : string option;  (** That of the client's certificate. *)
}
(** The type for a TLS session between the client and the proxy. *)

val ssl : client -> ssl option
(** [ssl c] is the client's TLS session, if there is one. *)

(** {1:sending Sending} *)

type version = V1 | V2

val send : ?version:version -> ?checksum:bool -> [> `Write ] File_descriptor.t -> header -> unit
(** [send d h] writes {!encode}[ h]: the first bytes of a connection to a backend. *)

(** {1:codec Codec} *)

val max_bytes : int
(** [max_bytes] is 4096, the limit for a header. *)

val encode : ?version:version -> ?checksum:bool -> header -> string
(** [encode h] is [h] in [version] (default: {!V2}). Version 1 has no fields, and writes {!Local} as
    {!Unknown}. An IPv4 address beside one of IPv6 is written IPv4-mapped. With [checksum] (default:
    [false]) a header of version 2 has a CRC-32C. Raises [Invalid_argument] if there are more than
    {!max_bytes} bytes or if a field has a type out of range or that of the checksum. *)

(** The type for results of {!decode}. *)
type decoded =
  | Header of header * int  (** The header, and the number of its bytes. *)
  | Need of int  (** The header has at least that many bytes, more than there are. *)
  | Malformed of string  (** The reason. *)

val decode : string -> decoded
(** [decode s] is the header at the beginning of [s]. *)
