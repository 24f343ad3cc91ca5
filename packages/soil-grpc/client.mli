(** gRPC clients, over {!Soil_http.Client}.

    {[
      let http = Soil_http.Client.create ~max_redirects:0 ~http2:(Soil_http.Http2.client ()) ()
      let client = Client.create http (Uri.of_string "http://10.0.0.7:50051")

      let () =
        Soil.run @@ fun () ->
        let reply = Client.unary ~timeout:5. client Greeter.say_hello { name = "Ada" } in
        print_endline reply.message
    ]}

    A call is in direct style, and many tasks may use one client: with HTTP/2 their calls share
    connections. A call with another status than {!Status.OK} raises {!Status.Failed}; so does one
    whose connection fails ({!Status.Unavailable}). Cancelling the task cancels the call, on the
    server as well. *)

type t
(** The type for clients of a server. *)

type retry = {
  attempts : int;  (** At most so many, with the first one. *)
  first_seconds : float;  (** The mean time before the second attempt. *)
  max_seconds : float;  (** The longest time before an attempt. *)
  factor : float;  (** By which the time grows. *)
  codes : Status.code list;  (** After which statuses a call is repeated. *)
}
(** When calls are repeated
    ({{:https://github.com/grpc/proposal/blob/master/A6-client-retries.md}gRFC A6}). *)

val default_retry : retry
(** [default_retry] is 4 attempts after [Unavailable], 0.1 s, twice as long each time, at most 5 s.
*)

val create :
  ?max_message:int ->
  ?encodings:Encoding.t list ->
  ?metadata:Metadata.t ->
  ?retry:retry ->
  Soil_http.Client.t ->
  Uri.t ->
  t
(** [create http uri] calls the server at [uri]: scheme, host and port; a path is a prefix. [http]
    needs HTTP/2, except with servers of Soil, and shouldn't follow redirects.

    - [max_message] (default: 4 MiB) is the limit for bytes of a response's message, as it comes and
      decompressed.
    - [encodings] (default: none) may compress the responses' messages. The first one compresses
      requests with [compress].
    - [metadata] (default: none) is sent with each call.
    - [retry] (default: none) repeats calls with one request whose response hasn't begun, by a
      random time between 0.8 and 1.2 of the policy's, or by the server's time
      ([grpc-retry-pushback-ms]). Repetitions stop while a server fails often, since they would be
      more work for it: each failure counts 1, up to 10, each success takes 0.1 off, and from 5 on
      nothing is repeated.

    Doesn't wait. *)

(** {1:calls Calls}

    - [metadata] (default: none) is sent with the call.
    - [timeout] is the deadline, in seconds from now, for the whole call with its repetitions and
      the function in it. The server gets it. The default is the deadline of the call of {!Server}
      for which this task works, if there is one; otherwise there is none. Then the call is
      cancelled, and raises {!Status.Failed} with {!Status.Deadline_exceeded}.
    - [compress] (default: [false]) compresses the requests' messages.
    - [on_head] gets the metadata that come before the first message.
    - [on_trailers] gets the metadata that come with the status. *)

type 'a call =
  ?metadata:Metadata.t ->
  ?timeout:float ->
  ?compress:bool ->
  ?on_head:(Metadata.t -> unit) ->
  ?on_trailers:(Metadata.t -> unit) ->
  t ->
  'a
(** The type for functions that call a method. *)

val unary : (('req, 'resp, Method.unary) Method.t -> 'req -> 'resp) call
(** [unary t m request] is the response. *)

val server_stream :
  (('req, 'resp, Method.server_stream) Method.t -> 'req -> ('resp Reader.t -> 'a) -> 'a) call
(** [server_stream t m request f] is [f responses]. The call is cancelled if [f] returns before the
    end. *)

val client_stream :
  (('req, 'resp, Method.client_stream) Method.t -> (('req -> unit) -> unit) -> 'resp) call
(** [client_stream t m f] runs [f send], and is the response. *)

type 'req sender
(** The type for the client's side of a two-way stream. *)

val two_way :
  (('req, 'resp, Method.two_way) Method.t -> ('req sender -> 'resp Reader.t -> 'a) -> 'a) call
(** [two_way t m f] is [f sender responses]. The call is cancelled if [f] returns before the end of
    the responses. Two tasks may use [sender] and [responses] at the same time. *)

val send : ?compress:bool -> 'req sender -> 'req -> unit
(** [send s v] waits until the server takes more, and sends [v]. [compress] (default: [true]) needs
    a call with [compress]. Does nothing if the call has ended: its status comes from the responses.
*)

val finish : 'req sender -> unit
(** [finish s] says that no more is sent. *)
