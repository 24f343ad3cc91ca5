(** Credentials of requests ({{:https://www.rfc-editor.org/rfc/rfc9110#section-11}RFC 9110 §11}):
    [Basic] ({{:https://www.rfc-editor.org/rfc/rfc7617}RFC 7617}) and [Bearer]
    ({{:https://www.rfc-editor.org/rfc/rfc6750}RFC 6750}).

    {[
      let api = Auth.bearer ~check:(fun token -> if Auth.equal token secret then Some () else None)
      let app = api (fun () request -> Server.string "hello")
    ]}

    Both send secrets as they are: they need TLS. *)

val basic :
  ?realm:string ->
  check:(user:string -> password:string -> 'a option) ->
  ('a -> Server.request -> Server.response) ->
  Server.request ->
  Server.response
(** [basic ~check f] is [f who] for requests with credentials for which [check] is [Some who].
    Others get 401 by {!Server.val-error}, with a challenge, to which browsers ask for a user's name
    and password for [realm] (default: ["restricted"]). Check passwords of users by [Soil_password],
    and limit attempts by {!Limit}. Raises [Invalid_argument] if [realm] has characters other than
    printable ASCII. *)

val bearer :
  ?realm:string ->
  check:(string -> 'a option) ->
  ('a -> Server.request -> Server.response) ->
  Server.request ->
  Server.response
(** [bearer ~check f] is the same for tokens. *)

val equal : string -> string -> bool
(** [equal given secret] is [given = secret], in a time that tells neither where they differ nor
    whether their lengths do. *)

(** {1:credentials Credentials} *)

val basic_credentials : Server.request -> (string * string) option
(** [basic_credentials r] is the user's name and the password of [r]: [None] if there is no field
    [Authorization] of this scheme, more than one field, or a malformed one. The name has no colon;
    neither has control characters. *)

val bearer_token : Server.request -> string option
(** [bearer_token r] is the token of [r], [None] as above. *)
