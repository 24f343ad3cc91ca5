(** Sessions: values that a server keeps for a browser between requests.

    {[
      let sessions = Session.create (Session.memory ())

      let log_in request user =
        Session.renew sessions request;
        Session.set sessions request "user" user;
        Server.redirect "/"

      let home request =
        match Session.find sessions request "user" with
        | Some user -> Server.string ("hello " ^ user)
        | None -> Server.redirect "/login"

      let app = Session.handler sessions (Router.router routes)
    ]}

    A session begins when a value is set. A cookie identifies it: [HttpOnly], [SameSite=Lax],
    [Secure] and of this host alone, by a name with [__Host-].

    {b Stores.} {!memory} and {!kv} keep the values in the server, and the cookie has 24 random
    bytes. A store has SHA-256 of these, so that who reads it can take over no session. {!cookies}
    keeps the values in the cookie, signed: the server keeps nothing, but the client can read the
    values, and a copy of the cookie is valid until it expires, also after {!invalidate} or
    {!renew}.

    {b Limits.} A session ends when it hasn't been used for [idle] seconds, and [lifetime] seconds
    after it has begun. A use is a request in which a function of this module looks for the session;
    so that not each one changes the store, a session may end by a tenth of [idle] earlier.

    {b Requests of one session at the same time} change each value separately, and what
    {!invalidate} or {!renew} has ended stays ended; but of two that change a session of {!cookies}
    one loses. *)

type store
(** The type for stores. *)

val cookies : Signed.keys -> store
(** [cookies keys] keeps the values in cookies, at most 2500 bytes. To rotate keys see
    {!Signed.val-keys}. *)

val memory : ?capacity:int -> unit -> store
(** [memory ()] keeps at most [capacity] sessions (default: 10000), of 16 KiB at most. A further one
    takes the place of the one that hasn't been used for the longest time: begin sessions for
    clients whose number is limited, after a login or by {!Limit}. Raises [Invalid_argument] if
    [capacity < 1]. *)

val kv : ?capacity:int -> Soil.Kv.t -> Soil.Kv.Key.t -> store
(** [kv t key] keeps sessions of 16 KiB at most, each a file, in 256 dictionaries below [key], which
    has nothing else. They survive the program: a response waits until its changes are durable. A
    new session removes those of its dictionary that have expired, and if there are [capacity / 256]
    (default of [capacity]: 65536) the one that hasn't been used for the longest time. Raises
    [Invalid_argument] if [capacity < 256]. *)

type t
(** The type for kinds of sessions: a cookie, a store and limits. *)

val create :
  ?cookie:string ->
  ?secure:bool ->
  ?idle:float ->
  ?lifetime:float ->
  ?now:(unit -> float) ->
  store ->
  t
(** [create store] is a kind of sessions.

    - [cookie] is the name of the cookie (default: ["__Host-session"], or ["session"] with
      [~secure:false]).
    - [secure] (default: [true]) sends the cookie over TLS only; [false] is for development.
    - [idle] (default: an hour) and [lifetime] (default: a day) are limits in seconds.
    - [now] is the time in seconds since 1970 (default: {!Soil.Clock.now}).

    Raises [Invalid_argument] if the name can't be a cookie's, or a limit isn't between 1 and
    10{^ 9} seconds. *)

val handler : t -> (Server.request -> Server.response) -> Server.request -> Server.response
(** [handler t f] is [f], in which the functions below can be called, until [f] returns. Changes are
    kept also if [f] raises. *)

(** {1:values Values}

    These functions raise [Invalid_argument] outside {!handler}. They wait for {!kv}, and raise
    [Failure] if that fails. *)

val find : t -> Server.request -> string -> string option
(** [find t r name] is the value [name] of the session. *)

val all : t -> Server.request -> (string * string) list
(** [all t r] is all names and values of the session. *)

val set : t -> Server.request -> string -> string -> unit
(** [set t r name value] gives [name] the value [value], any bytes. Begins a session if there is
    none. Raises [Invalid_argument] if the session has more bytes than its store allows then. *)

val remove : t -> Server.request -> string -> unit
(** [remove t r name] removes the value [name], if there is one. *)

val renew : t -> Server.request -> unit
(** [renew t r] gives the session a new identifier, and its lifetime begins again; the old
    identifier is invalid. Call it when a user has logged in: who had planted the identifier before
    ({{:https://owasp.org/www-community/attacks/Session_fixation}session fixation}) doesn't have the
    new one. Without a session it does nothing: an identifier that no store knows is never used. *)

val invalidate : t -> Server.request -> unit
(** [invalidate t r] ends the session: for a log-out. *)

val exists : t -> Server.request -> bool
(** [exists t r] is whether there is a session. *)

val secret : t -> Server.request -> string
(** [secret t r] is 24 bytes that only this session has, until {!renew}. Begins one if there is
    none. {!Csrf} uses it. *)
