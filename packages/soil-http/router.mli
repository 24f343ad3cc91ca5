(** Routes: handlers by method and path.

    {[
      let app =
        Router.router
          [
            Router.get "/" (fun _ -> home);
            Router.get "/rooms/:room" (fun params request ->
                show request (Router.param params "room"));
            Router.scope "/api" ~middleware:only_for_members
              [
                Router.post "/rooms/:room/messages" (fun params -> add (Router.param params "room"));
              ];
            Router.get "/static/*file" (fun _ -> Soil_http.Files.handler "/www");
          ]

      let () = Soil.run @@ fun () -> Server.serve (Soil.Tcp.listen ~port:80 ()) app
    ]}

    {b Patterns} begin with a slash, and consist of segments:

    - [:name] is a parameter: one segment that isn't empty;
    - [*name], only at the end, is the rest of the path: ["/static/*file"] is for ["/static/"] and
      all below it, but not for ["/static"];
    - others are literal, unescaped and case-sensitive.

    In a {!scope}, [""] is the path of the scope itself: [scope "/a" [ get "" h; get "/" h ]] is for
    ["/a"] and ["/a/"]. A final slash counts: they are two paths. Where several patterns are for a
    path, a literal segment precedes a parameter, and that a rest, from the left to the right; the
    first of them that has the method is used.

    {b Paths.} A path is split into segments before its escapes are decoded. The response is 400 if
    an escape is malformed, or if a decoded segment is ["."] or [".."], has a slash, a backslash or
    a control character, or isn't UTF-8: so parameters never change the meaning of a path that is
    made of them, and a rest never leaves its folder. *)

type params
(** The type for the parameters of a path. *)

val param : params -> string -> string
(** [param p name] is the decoded parameter or rest [name]. Raises [Invalid_argument] if the pattern
    has none of this name. *)

val params : params -> (string * string) list
(** [params p] is all of them, in the order of the path. *)

type handler = params -> Server.request -> Server.response
(** The type for handlers. Without parameters: [fun _ -> handler]. *)

(** {1:routes Routes} *)

type route
(** The type for routes. *)

val get : string -> handler -> route
(** [get pattern handler] is for [GET], and for [HEAD], of which the server sends the head only.
    Like all these functions it raises [Invalid_argument] if the pattern is malformed. *)

val post : string -> handler -> route
val put : string -> handler -> route
val patch : string -> handler -> route
val delete : string -> handler -> route

val meth : Cohttp.Code.meth -> string -> handler -> route
(** [meth m] is likewise for another method. One for [`HEAD] or [`OPTIONS] replaces the automatic
    response. *)

val any : string -> handler -> route
(** [any pattern handler] is for all methods without a route of their own. *)

val scope : ?middleware:(handler -> handler) -> string -> route list -> route
(** [scope prefix routes] is [routes] below [prefix], which may have parameters, and is [""] or
    begins with a slash. Their handlers [h] become [middleware h] (default: [h]). *)

(** {1:router Routers} *)

val router :
  ?not_found:(Server.request -> Server.response) -> route list -> Server.request -> Server.response
(** [router routes] is the handler that selects one of [routes].

    - If no pattern matches, the response is that of [not_found] (default: 404).
    - If none that matches has the method, it is 405, or 204 for [OPTIONS], with the methods in
      [Allow].

    Raises [Invalid_argument] if two routes have the same method and, apart from the names of
    parameters, the same pattern. *)
