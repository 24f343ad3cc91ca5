(** Tokens with claims. Part of [Soil_jwt]. *)

(** {1:verify Verification} *)

type claims = {
  issuer : string option;  (** [iss] *)
  subject : string option;  (** [sub] *)
  audience : string list;  (** [aud]; [[]] without it. *)
  expires : float option;  (** [exp], in seconds since 1970 like {!Soil.Clock.now}. *)
  not_before : float option;  (** [nbf] *)
  issued : float option;  (** [iat] *)
  id : string option;  (** [jti] *)
  all : (string * Yojson.Safe.t) list;  (** All claims, each name once. *)
}
(** The type for the claims of a verified token
    ({{:https://www.rfc-editor.org/rfc/rfc7519#section-4} RFC 7519 §4}). *)

type policy
(** The type for a server's requirements. *)

val policy :
  ?issuer:string ->
  ?audience:string ->
  ?typ:string ->
  ?leeway:float ->
  ?require_expiry:bool ->
  ?max_bytes:int ->
  unit ->
  policy
(** [policy ()] requires of each token that

    - [iss] is [issuer] (default: any, or none);
    - [aud] is, or contains, [audience]. Without [audience] a token with [aud] is for another, and
      refused (RFC 7519 §4.1.3);
    - the header's [typ] is [typ], such as ["at+jwt"], in any case; by default it is [JWT] or
      absent, so that a token of another kind isn't taken for one (RFC 8725 §3.11);
    - it hasn't expired, and [nbf] and [iat] aren't in the future, by {!Soil.Clock.now} with
      [leeway] seconds (default: 60) either way;
    - it has [exp], if [require_expiry] (default: [true]);
    - it has at most [max_bytes] (default: {!Jws.default_max_bytes}).

    Raises [Invalid_argument] if [leeway] isn't between 0 and 3600. *)

val verify : policy -> Key.t list -> string -> (claims, Problem.t) result
(** [verify policy keys token] is the claims of [token], signed by one of [keys] as in
    {!Jws.verify}. The claims are parsed after that: at most 2000 values, nested at most 16 deep,
    each name once. Doesn't wait. *)

(** {1:sign Signing} *)

val sign :
  ?typ:string ->
  ?issuer:string ->
  ?subject:string ->
  ?audience:string ->
  ?id:string ->
  lifetime:float ->
  Signer.t ->
  (string * Yojson.Safe.t) list ->
  string
(** [sign ~lifetime signer claims] is a token with [claims], issued now, that expires after
    [lifetime] seconds. [typ] defaults to ["JWT"]. Anyone can read it. As {!Signer.sign}; raises
    [Invalid_argument] if [claims] have a name twice or one of the registered ones ([iss], [sub],
    [aud], [jti], [iat], [exp]), a number that isn't finite, or [lifetime] isn't between 0 and
    10{^ 12}. *)

(** {1:low Low level} *)

val parse : policy -> string -> (Jws.t, Problem.t) result
(** [parse policy token] is {!Jws.of_string} by [policy], which also checks [typ]. *)

val check : policy -> string -> (claims, Problem.t) result
(** [check policy payload] is the claims of a verified payload. *)
