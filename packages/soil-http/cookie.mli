(** Cookies ({{:https://datatracker.ietf.org/doc/draft-ietf-httpbis-rfc6265bis/}RFC 6265bis}), on
    the side of the server.

    {[
      let remember name response =
        Cookie.add (Cookie.make ~secure:true ~max_age:2592000. "name" (Cookie.escape name)) response

      let name request = Option.bind (Cookie.find request "name") Cookie.unescape
    ]}

    A client can change its cookies: {!Signed} signs them. *)

(** {1:requests Requests} *)

val all : Server.request -> (string * string) list
(** [all r] is the names and values of the cookies of [r], as sent. Pairs whose name isn't a token
    are ignored. *)

val find : Server.request -> string -> string option
(** [find r name] is the value of the cookie [name]: of several the first, which browsers send for
    the longest path. *)

(** {1:responses Responses} *)

type t
(** The type for cookies that a response sets. *)

type same_site = [ `Strict | `Lax | `None ]
(** The type for requests with which browsers send a cookie: those from pages of the same site, also
    the first one of a navigation from others, or all. *)

val make :
  ?path:string ->
  ?domain:string ->
  ?max_age:float ->
  ?http_only:bool ->
  ?same_site:same_site ->
  secure:bool ->
  string ->
  string ->
  t
(** [make ~secure name value] is a cookie.

    - [path] (default: ["/"]) is the path below which it is sent.
    - [domain] also sends it to the subdomains of this name, which is the server's or one above it.
      Without it only the server that has set it gets it.
    - [max_age] is its lifetime in seconds, rounded up. Without it browsers forget it when they end.
    - [http_only] (default: [true]) hides it from scripts.
    - [same_site] defaults to [`Lax].
    - [secure] sends it over TLS only. Browsers make an exception for [localhost].

    A browser ignores cookies that break these rules; [make] raises [Invalid_argument] instead:

    - [name] is a token, and [value] has only characters of a cookie ([escape] others); both
      together have up to 4096 bytes, [path] and [domain] up to 1024;
    - [path] begins with a slash and has neither semicolons nor control characters, [domain] has
      only letters, digits, hyphens and dots;
    - [`None] needs [~secure:true];
    - names that begin with [__Secure-], in any case, need [~secure:true], and those with [__Host-]
      also the path ["/"] and no domain. *)

val remove : ?path:string -> ?domain:string -> secure:bool -> string -> t
(** [remove ~secure name] makes the client forget the cookie [name], which was set with the same
    [path] and [domain]. Raises as {!make}. *)

val add : t -> Server.response -> Server.response
(** [add cookie response] is [response], which sets [cookie]. *)

val to_string : t -> string
(** [to_string cookie] is the value of a field [Set-Cookie]. *)

(** {1:values Values} *)

val escape : string -> string
(** [escape s] is [s] with [%XX] for bytes that a value can't have, and for ["%"]. *)

val unescape : string -> string option
(** [unescape v] is the string whose {!escape} is [v], or [None] if an escape is malformed. *)
