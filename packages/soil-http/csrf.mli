(** Protection against cross-site request forgery: a page of another site makes a browser send a
    request with the user's cookies.

    {[
      let form request =
        page
          (Printf.sprintf {|<input type="hidden" name="csrf" value="%s">|}
             (Csrf.token sessions request))

      let receive request =
        match Form.find (Csrf.form request) "title" with
        | Some title -> show title
        | None -> Server.error request `Bad_request

      let app = Session.handler sessions (Csrf.handler sessions (Router.router routes))
    ]}

    A request other than [GET], [HEAD], [OPTIONS] and [TRACE] passes {!handler} only if the browser
    says that it comes from a page of this server, and it has the token of its session. Requests of
    programs that send no cookies don't belong behind it. *)

val token : Session.t -> Server.request -> string
(** [token sessions r] is a token for a page: 86 letters, digits, ["-"] and ["_"]. It is valid as
    long as the session has the same identifier, so not after {!Session.renew}; it is another string
    at each call, so that a compressed page doesn't reveal it. Begins a session if there is none,
    and raises as {!Session.set}. *)

val is_valid : Session.t -> Server.request -> string -> bool
(** [is_valid sessions r s] is whether [s] is a {!token} of the session of [r], in constant time. *)

val handler :
  ?field:string ->
  ?origins:string list ->
  Session.t ->
  (Server.request -> Server.response) ->
  Server.request ->
  Server.response
(** [handler sessions f] is [f] for requests that pass; others get 403 by {!Server.val-error}. It
    belongs in a {!Session.handler} of [sessions].

    - [Sec-Fetch-Site] is [same-origin] or [none]. Without that field, from older browsers, the host
      of [Origin], if there is one, is that of [Host]. Other pages may send requests if their
      origins are in [origins] (default: none), such as ["https://www.example.com"].
    - The token is in the field [X-CSRF-Token], or, in a body of
      [application/x-www-form-urlencoded], in [field] (default: ["csrf"]). Then the form was read,
      as by {!Form.read}, which raises; the handler gets it from {!form}. Scripts send other bodies,
      with the field of the head. *)

val form : Server.request -> Form.t
(** [form r] is the form that {!handler} has read, or {!Form.read}. *)
