(** Traces of gRPC calls, for {!Soil_otel}.

    {[
      let app = Soil_grpc.Server.handler ~observe:Soil_otel_grpc.observe rpcs
      let app = Soil_otel_http.middleware () app
    ]} *)

val observe :
  ?next:(Soil_grpc.Server.call -> Soil_grpc.Status.t -> float -> unit) ->
  Soil_grpc.Server.call ->
  Soil_grpc.Status.t ->
  float ->
  unit
(** [observe] is for [observe] of {!Soil_grpc.Server.handler}: the span of [Soil_otel_http]'s
    middleware, which has read [traceparent], gets the method's name and the call's status. Then it
    calls [next] (default: nothing). *)

(** Calls of clients, as those of {!Soil_grpc.Client}, with a span for each and its [traceparent] as
    metadata. *)
module Client : sig
  open Soil_grpc

  val unary : (('req, 'resp, Method.unary) Method.t -> 'req -> 'resp) Client.call

  val server_stream :
    (('req, 'resp, Method.server_stream) Method.t -> 'req -> ('resp Reader.t -> 'a) -> 'a)
    Client.call

  val client_stream :
    (('req, 'resp, Method.client_stream) Method.t -> (('req -> unit) -> unit) -> 'resp) Client.call

  val two_way :
    (('req, 'resp, Method.two_way) Method.t -> ('req Client.sender -> 'resp Reader.t -> 'a) -> 'a)
    Client.call
end
