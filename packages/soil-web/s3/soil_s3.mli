(** Signatures of AWS, version 4, for requests of [Soil_http.Client] to S3, stores that speak its
    protocol, and other services of AWS
    ({{:https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html}AWS's description}).

    {[
      module Client = Soil_http.Client

      let signer = Soil_s3.signer ~region:"eu-central-1" { access_key; secret_key; token = None }
      let uri key = Soil_s3.uri ~host:"notes.s3.eu-central-1.amazonaws.com" key

      let put client key text =
        let headers = Soil_s3.sign signer ~payload:(Body text) `PUT (uri key) in
        Client.request ~headers ~body:(String text) client `PUT (uri key) (fun r _ -> r.status)

      let get client key = Client.get ~headers:(Soil_s3.sign signer `GET (uri key)) client (uri key)

      let list client =
        let uri = Uri.with_query' (uri "") [ ("list-type", "2"); ("prefix", "2026/") ] in
        Client.get ~headers:(Soil_s3.sign signer `GET uri) client uri
    ]}

    Only signing: responses are XML, which this library doesn't read. Services refuse a request
    whose time is more than 15 minutes from theirs. Functions don't wait. *)

type credentials = {
  access_key : string;
  secret_key : string;
  token : string option;  (** Of temporary credentials. *)
}
(** The type for credentials. *)

type signer
(** The type for credentials for a service in a region. *)

val signer : ?service:string -> region:string -> credentials -> signer
(** [signer ~region credentials] is for S3; [service] (default: ["s3"]) is another's name in
    signatures, such as ["sqs"]. Raises [Invalid_argument] if a name or a key is empty, or has
    another character than the printable ones of ASCII, or [region] or [service] has [/]. *)

val uri : ?scheme:string -> ?port:int -> ?bucket:string -> host:string -> string -> Uri.t
(** [uri ~host key] is the URI of the object [key]: any bytes, [/] separates folders. [scheme]
    defaults to ["https"]. With [bucket] the path begins with it, as many other stores need it. *)

val to_string : Uri.t -> string
(** [to_string uri] is the text of [uri], as other clients shall send it: with [%2B] for a [+] in
    the path, which S3 takes for a space, and [Uri.to_string] writes. *)

(** {1:headers In headers} *)

(** The type for bodies, as they are signed. Other services than S3 only know [Body] and [Sha256].
*)
type payload =
  | Body of string  (** All of it. *)
  | Sha256 of string  (** Its SHA-256, 32 bytes. *)
  | Unsigned  (** Not signed: TLS protects it. *)
  | Chunks of int  (** A stream of so many bytes, by {!chunks}. *)

val sign :
  ?now:float ->
  ?headers:Cohttp.Header.t ->
  ?payload:payload ->
  signer ->
  Cohttp.Code.meth ->
  Uri.t ->
  Cohttp.Header.t
(** [sign signer meth uri] is the headers for this request: [headers], which are signed except those
    that the client or a proxy writes ([connection], [content-length], [user-agent], …), with
    [x-amz-date], [x-amz-content-sha256] for S3, [x-amz-security-token] with a token, and
    [authorization]. [now] is in seconds since 1970 (default: {!Soil.Clock.now}), [payload] defaults
    to [Body ""].

    Sign each request, and repetitions after minutes; pass the same [uri] to the client. Redirects
    need a signature of their own. [Host] is the one of [uri].

    Raises [Invalid_argument] if [uri] has no host, [now] isn't between 0 and the year 9999, or
    [payload] isn't 32 bytes, is negative, or isn't known to the service. *)

(** {1:urls In URLs} *)

val presign :
  ?now:float ->
  ?headers:Cohttp.Header.t ->
  ?payload:payload ->
  expires:int ->
  signer ->
  Cohttp.Code.meth ->
  Uri.t ->
  Uri.t
(** [presign ~expires signer meth uri] is [uri] with a signature in its query, for a client that has
    no credentials: it may send this request, with [headers], within [expires] seconds. Its text is
    {!to_string}. [payload] defaults to [Unsigned] for S3, and to [Body ""] for others. Raises as
    {!sign}, and if [expires] isn't between 1 and 604,800 (a week), with [Chunks], or if [uri] has
    the query of a signature. *)

(** {1:chunks Streams} *)

type chunks
(** The type for bodies that are signed piece by piece. *)

val min_chunk : int
(** [min_chunk] is 8192: S3 refuses smaller chunks, except for the last one. *)

val chunks : ?chunk:int -> signer -> Cohttp.Header.t -> chunks
(** [chunks signer (sign signer ~payload:(Chunks n) …)] signs a body of [n] bytes in chunks of
    [chunk] bytes (default: 64 KiB). Raises [Invalid_argument] if the headers aren't such ones, or
    [chunk < min_chunk]. *)

val length : chunks -> int
(** [length c] is the length of the encoded body: for [Client.Stream (Some length, …)]. *)

val write : chunks -> string -> (string -> unit) -> unit
(** [write c s send] adds [s] to the body, and calls [send] with the encoded form of each full
    chunk; after byte [n] also with the end of the body. It holds at most a chunk. Raises
    [Invalid_argument] after more than [n] bytes. *)
