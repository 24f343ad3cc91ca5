(** Keys that an issuer publishes as a JWK Set, fetched and kept.

    {[
      Soil.Task.scope @@ fun scope ->
      let keys = Jwks.create scope client (Uri.of_string "https://issuer.example/jwks.json") in
      let policy = Soil_jwt.policy ~issuer:"https://issuer.example" ~audience:"api" () in
      … Jwks.verify keys policy token …
    ]}

    {b Requests.} At most one is under way. It starts when keys are needed and

    - there are none, or they are older than [max_age], or
    - no key has the token's [kid] and algorithm,

    and never before [min_interval] seconds after the last one began: strangers that invent names of
    keys cause no more. A new key may be unknown for as long. All tasks that need its keys wait for
    it, and a cancelled task leaves it to the others.

    {b Stale keys} count while a request is under way, and after it has failed, until they are older
    than [max_age] and [max_stale] together: no token waits for a provider whose keys are known, and
    a key that the provider has withdrawn counts until a request after [max_age] has ended. *)

type t
(** The type for the keys of an issuer. Belongs to the domain of its scope. *)

val create :
  ?max_bytes:int ->
  ?max_keys:int ->
  ?max_age:float ->
  ?max_stale:float ->
  ?min_interval:float ->
  ?timeout:float ->
  ?allow_http:bool ->
  Soil.Task.scope ->
  Soil_http.Client.t ->
  Uri.t ->
  t
(** [create scope client uri] has no keys yet. Doesn't wait.

    - [max_bytes] and [max_keys] are those of {!Jwk.set}.
    - [max_age] (default: 3600) is in seconds; [max-age] of the response's [Cache-Control] shortens
      it, to [min_interval] at least.
    - [max_stale] (default: 86400), [min_interval] (default: 30), and [timeout] (default: 10) for a
      request, are in seconds.

    Raises [Invalid_argument] if [uri] isn't https, unless [allow_http] (default: [false]): keys
    from a connection that others can change prove nothing. *)

val verify : t -> Token.policy -> string -> (Token.claims, Problem.t) result
(** [verify t policy token] is as {!Soil_jwt.verify} with the issuer's keys. May wait for a request.
    Raises [Invalid_argument] if the scope has ended and a request is needed. *)

val keys : t -> (Key.t list, string) result
(** [keys t] is the current keys, fetched if there are none that may count. May wait, and raises, as
    {!verify}. *)

val left_out : t -> (string option * string) list
(** [left_out t] is the keys of the last set that can't be used, for logs: the [kid] and the reason,
    as of {!Jwk.set}. *)

val last_error : t -> string option
(** [last_error t] is the failure of the last request, if it failed: for logs and health checks. *)
