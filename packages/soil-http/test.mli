(** Tests of handlers, without a network.

    {[
      let () =
        Soil.Virtual_clock.run @@ fun () ->
        Test.run app @@ fun t ->
        let response = Test.get t "/notes/7" in
        assert (response.status = `OK);
        assert (response.body = "milk\n")
    ]}

    The requests pass through {!Server.connection} and {!module-Client}, over pairs of flows in
    memory: limits, errors, [HEAD], persistent connections, streams and clients that leave are those
    of a server. In {!Soil.Virtual_clock.run} nothing waits: not the handlers' timeouts, not rates,
    not the lifetimes of sessions. A program that doesn't use this module doesn't link it. *)

type t
(** The type for clients of a handler. *)

type response = {
  status : Cohttp.Code.status_code;
  headers : Cohttp.Header.t;
  body : string;  (** All of it, without its transfer coding. *)
}
(** The type for responses. *)

val run :
  ?limits:Limits.t ->
  ?log:(Server.entry -> unit) ->
  ?error:(Server.Error.t -> Server.response) ->
  ?on_disconnect:[ `Cancel | `Finish ] ->
  ?on_error:(exn -> unit) ->
  ?endpoint:Soil.Net.Endpoint.t ->
  ?cookies:bool ->
  ?http2:bool ->
  (Server.request -> Server.response) ->
  (t -> 'a) ->
  'a
(** [run handler f] is [f t] with a client [t] of [handler], whose connections end with [f].

    - [limits], [log], [error] and [on_disconnect] are those of {!Server.serve}.
    - [on_error] gets each exception of [handler], whose response is a 500. By default it is printed
      as by {!Server.serve}; [~on_error:raise] makes [run] raise it.
    - [endpoint] is {!Server.endpoint} of the requests (default: [192.0.2.1:50000]). A second client
      is a second [run] of the same handler, inside [f].
    - With [cookies] (default: [false]) [t] keeps the cookies of responses, and sends them to the
      same host and path until they expire, like a browser over TLS. [Domain] is ignored.
    - With [http2] (default: [false]) the requests use HTTP/2. *)

(** {1:requests Requests}

    A target is a path with its query, such as ["/notes?page=2"], on the host [localhost], or a
    whole URI. Any number of tasks may use a client. A redirect is a response, which isn't followed.
    A request raises {!Client.Failed} if the server cuts the connection, as for a stream that fails,
    or if there is no response in a day: inside {!Soil.Virtual_clock.run} that takes a moment. *)

val get : ?headers:Cohttp.Header.t -> t -> string -> response
(** [get t target] is the response to a [GET]. *)

val post : ?headers:Cohttp.Header.t -> t -> string -> string -> response
(** [post t target body] is likewise for a [POST]. *)

val post_form : ?headers:Cohttp.Header.t -> t -> string -> (string * string) list -> response
(** [post_form t target fields] is likewise for a form ([application/x-www-form-urlencoded]). *)

val request :
  ?headers:Cohttp.Header.t -> ?body:Client.body -> t -> Cohttp.Code.meth -> string -> response
(** [request t meth target] is likewise for any method and body. *)

(** {1:more More than requests} *)

val client : t -> Client.t
(** [client t] is connected to the handler, whatever the host: for streams that are read piece by
    piece ({!Client.val-request}), {!Websocket.Client.connect}, and requests of programs. It knows
    no cookies of [t]. *)

val connect : t -> Soil.Flow.t
(** [connect t] is a new connection: for requests that no client makes. *)
