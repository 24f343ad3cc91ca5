(** Login by {{:https://openid.net/specs/openid-connect-core-1_0.html}OpenID Connect}: the
    authorization code flow with PKCE, [state] and [nonce].

    {[
      let provider =
        Soil_oidc.discover scope client ~issuer:"https://id.example"
          {
            id = "notes";
            secret = Some secret;
            redirect = Uri.of_string "https://notes.example/back";
          }

      let log_in request =
        let flow, uri = Soil_oidc.start provider in
        (* In the session: the browser that began a login has to end it. *)
        keep_in_session request (Soil_oidc.Flow.to_string flow);
        redirect uri

      let back request =
        let flow = Option.bind (take_from_session request) Soil_oidc.Flow.of_string in
        match Option.map (fun f -> Soil_oidc.finish provider f (Server.query request)) flow with
        | Some (Ok tokens) -> log_in_as tokens.subject
        | Some (Error _) | None -> forbidden request
    ]}

    There are no sessions here: keep each flow where only its browser reaches it, such as in
    [Soil_http.Session], and {b take it out} before {!finish}, so that each is used once. *)

type client = {
  id : string;
  secret : string option;  (** [None] for a public client, which has PKCE alone. *)
  redirect : Uri.t;  (** Where the provider sends the browser to: registered there, exactly. *)
}
(** The type for registrations at a provider. *)

(** The type for failures. None is the program's mistake. *)
type problem =
  | Denied of string
      (** The provider's [error], such as ["access_denied"]: 1 to 100 characters of its grammar. *)
  | State  (** The answer isn't one to this flow, or a parameter occurs twice. *)
  | Wrong_issuer  (** The answer, or the metadata, is another issuer's. *)
  | Exchange of string  (** A request to the provider failed. *)
  | Id_token of Soil_jwt.Problem.t
  | Claim of string  (** This claim of the ID token isn't right for the flow. *)

val problem_to_string : problem -> string
(** [problem_to_string p] is one line, for logs. *)

(** {1:providers Providers} *)

type t
(** The type for a provider, with a registration there. Belongs to the domain of its scope. *)

type metadata = {
  issuer : string;
  authorization : Uri.t;
  token : Uri.t;
  keys : Uri.t;
  basic : bool;  (** The secret is sent by [client_secret_basic], not [client_secret_post]. *)
  sends_issuer : bool;  (** Answers have [iss] (RFC 9207). *)
}
(** The type for what is known of a provider. *)

val discover :
  ?allow_http:bool ->
  ?leeway:float ->
  Soil.Task.scope ->
  Soil_http.Client.t ->
  issuer:string ->
  client ->
  (t, problem) result
(** [discover scope http ~issuer client] reads the metadata at
    [issuer/.well-known/openid-configuration], at most 64 KiB. Keys are fetched when they are first
    needed, by {!Soil_jwt.Jwks}. [leeway] is that of {!Soil_jwt.policy}. Waits for up to 10 seconds.
    [http] shouldn't follow redirects. URIs that aren't https are refused, unless [allow_http]
    (default: [false]). *)

val create :
  ?allow_http:bool ->
  ?leeway:float ->
  Soil.Task.scope ->
  Soil_http.Client.t ->
  metadata ->
  client ->
  t
(** [create scope http metadata client] is likewise without a request. Raises [Invalid_argument] for
    a URI that isn't https. *)

val metadata_of_string : string -> (metadata, string) result
(** [metadata_of_string text] decodes
    {{:https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata}metadata}. *)

(** {1:flow The flow} *)

(** Logins that have begun. *)
module Flow : sig
  type t
  (** The type for a login: random [state], [nonce] and PKCE verifier, of 256 bits each. *)

  val to_string : t -> string
  (** [to_string flow] is 131 characters of base64url and ["."]. It is a secret of the browser. *)

  val of_string : string -> t option

  val verifier : t -> string
  (** [verifier flow] is [code_verifier] (RFC 7636 §4.1). *)

  val challenge : string -> string
  (** [challenge verifier] is its [S256] challenge (RFC 7636 §4.2). *)
end

val start : ?scopes:string list -> ?extra:(string * string) list -> t -> Flow.t * Uri.t
(** [start t] is a new login and the URI to redirect the browser to. [scopes] are sent in addition
    to [openid]; [extra] are further parameters, such as [prompt]. As {!Soil.Random.fill}. Raises
    [Invalid_argument] if [extra] has a parameter of the flow. *)

type tokens = {
  subject : string;  (** [sub]: the user's name at this issuer, which never changes. *)
  claims : Soil_jwt.claims;
  id_token : string;
  access_token : string;
  expires_in : int option;
      (** In seconds, of the access token; [max_int] for a greater number. A text of digits counts
          as its number. *)
  refresh_token : string option;
  scope : string option;
}
(** The type for the result of a login. *)

val finish : t -> Flow.t -> (string * string list) list -> (tokens, problem) result
(** [finish t flow query] is the user, by the parameters of the request to [redirect]
    ([Soil_http.Server.query]). It

    - compares [state] in constant time, and [iss], if the provider sends it (RFC 9207);
    - exchanges [code] for tokens, a response of at most 64 KiB, within 10 seconds;
    - verifies the ID token by {!Soil_jwt}: signature, [iss], [exp], [iat], [aud], which is the
      client alone, [azp], [nonce], and [at_hash] if it is there (OpenID Connect Core §3.1.3.7).

    Waits. *)

val check_id_token :
  t -> nonce:string -> access_token:string -> string -> (Soil_jwt.claims, problem) result
(** [check_id_token t ~nonce ~access_token token] is the last step alone. May wait for keys. *)
