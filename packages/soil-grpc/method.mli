(** Methods of services, for both sides.

    {[
      let say_hello = Method.unary ~service:"helloworld.Greeter" "SayHello" request reply
    ]} *)

type ('req, 'resp, 'kind) t = private {
  service : string;  (** With its package: ["helloworld.Greeter"]. *)
  name : string;
  request : 'req Codec.t;
  response : 'resp Codec.t;
}
(** The type for methods with requests ['req] and responses ['resp]. *)

type unary = [ `Unary ]
(** One request, one response. *)

type client_stream = [ `Client_stream ]
(** Any number of requests, one response. *)

type server_stream = [ `Server_stream ]
(** One request, any number of responses. *)

type two_way = [ `Two_way ]
(** Any number of both, in any order. *)

(** {1:make Methods}

    These functions raise [Invalid_argument] if a name is empty or has other characters than letters
    of ASCII, digits, [_] and, in a service's name, dots. *)

val unary : service:string -> string -> 'req Codec.t -> 'resp Codec.t -> ('req, 'resp, unary) t

val client_stream :
  service:string -> string -> 'req Codec.t -> 'resp Codec.t -> ('req, 'resp, client_stream) t

val server_stream :
  service:string -> string -> 'req Codec.t -> 'resp Codec.t -> ('req, 'resp, server_stream) t

val two_way : service:string -> string -> 'req Codec.t -> 'resp Codec.t -> ('req, 'resp, two_way) t

val path : (_, _, _) t -> string
(** [path m] is the path of its requests: ["/helloworld.Greeter/SayHello"]. *)
