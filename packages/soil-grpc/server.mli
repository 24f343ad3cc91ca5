(** gRPC servers: handlers for {!Soil_http.Server}.

    {[
      let say_hello _ { name } =
        if name = "" then Status.fail Invalid_argument "no name";
        { message = "Hello " ^ name }

      let app = Server.handler [ Server.unary Greeter.say_hello say_hello ]

      let () =
        Soil.run @@ fun () ->
        let http2 = Soil_http.Http2.server () in
        Soil_http.Server.serve ~http2 (Soil.Tcp.listen ~port:50051 ()) app
    ]}

    A handler is in direct style. {!Status.Failed} ends its call; any other exception is reported,
    and the client gets {!Status.Unknown} without its text. When the deadline of a call passes, its
    handler is cancelled, and the client gets {!Status.Deadline_exceeded}. When the client leaves or
    cancels the call, its handler is cancelled, too ([on_disconnect] of {!Soil_http.Server.serve}).
*)

(** {1:calls Calls} *)

type call = Call.t
(** The type for calls. A call is valid until its handler returns. *)

val metadata : call -> Metadata.t
(** [metadata c] is the client's metadata. *)

val request : call -> Soil_http.Server.request
(** [request c] is the request of HTTP: the client, values of middlewares, a scope. *)

val time_left : call -> float option
(** [time_left c] is the seconds until the deadline, [None] without one. Calls of {!Client} in a
    handler pass the deadline on by themselves. *)

val add_header : call -> string -> string -> unit
(** [add_header c name value] adds metadata that is sent before the first message. Raises
    [Invalid_argument] after that, or if it isn't {!Metadata}. *)

val add_trailer : call -> string -> string -> unit
(** [add_trailer c name value] adds metadata that is sent after the last message. *)

val send_head : call -> unit
(** [send_head c] sends the metadata now, in a stream. Otherwise they come with the first message.
*)

val set_compress : call -> bool -> unit
(** [set_compress c compress] says whether messages from now on are compressed, if client and server
    have an {!Encoding} in common. Initially [false]. *)

val was_compressed : call -> bool
(** [was_compressed c] is whether the last message of the client came compressed. *)

(** {1:methods Methods} *)

type rpc
(** The type for methods with their handlers. *)

val unary : ('req, 'resp, Method.unary) Method.t -> (call -> 'req -> 'resp) -> rpc

val client_stream :
  ('req, 'resp, Method.client_stream) Method.t -> (call -> 'req Reader.t -> 'resp) -> rpc

val server_stream :
  ('req, 'resp, Method.server_stream) Method.t -> (call -> 'req -> ('resp -> unit) -> unit) -> rpc
(** [server_stream m f] runs [f call request send]. [send] waits until the client takes more. *)

val two_way :
  ('req, 'resp, Method.two_way) Method.t ->
  (call -> 'req Reader.t -> ('resp -> unit) -> unit) ->
  rpc
(** [two_way m f] runs [f call requests send]. The call ends when [f] returns, whether or not all
    requests were read. *)

(** {1:handlers Handlers} *)

val handler :
  ?max_message:int ->
  ?max_metadata:int ->
  ?max_seconds:float ->
  ?encodings:Encoding.t list ->
  ?web:bool ->
  ?observe:(call -> Status.t -> float -> unit) ->
  ?on_exception:(call -> exn -> Printexc.raw_backtrace -> unit) ->
  ?others:(Soil_http.Server.request -> Soil_http.Server.response) ->
  rpc list ->
  Soil_http.Server.request ->
  Soil_http.Server.response
(** [handler rpcs] is a handler of HTTP, for middlewares and {!Soil_http.Server.serve}. A call of
    another method gets {!Status.Unimplemented}. {!Soil_http.Server.Request.route} is the path of
    the method.

    - [max_message] (default: 4 MiB) is the limit for bytes of a request's message, as it comes and
      decompressed. No memory is taken for longer ones.
    - [max_metadata] (default: 8 KiB) is the limit for names and values of metadata, plus 32 bytes
      for each.
    - [max_seconds] (default: [infinity]) is the limit for the time of a call, also without a
      deadline.
    - [encodings] (default: none) may compress messages. A request with another one gets
      {!Status.Unimplemented}.
    - [web] (default: [false]) also serves gRPC-Web, for browsers, in both of its forms
      ([application/grpc-web] and [application/grpc-web-text]) and over each version of HTTP. Pages
      of other origins need {!Soil_http.Middleware.cors} with {!web_headers} and {!web_exposed}.
    - [observe call status seconds] is called at the end of each call: for logs and metrics.
    - [on_exception] gets exceptions of handlers. By default it is {!Soil_http.Server.report}.
    - [others] handles requests that aren't gRPC, by their [Content-Type]. Without it they get 415.

    Raises [Invalid_argument] if a method occurs twice. *)

val path : call -> string
(** [path c] is the path of the method. *)

val web_headers : string list
(** [web_headers] is the fields that clients of gRPC-Web send, for [headers] of
    {!Soil_http.Middleware.cors}: add the names of your metadata. *)

val web_exposed : string list
(** [web_exposed] is the fields that they read, for [expose]. *)

(** {1:composition Names} *)

val services : rpc list -> string list
(** [services rpcs] is the names of the services, in alphabetical order. *)
