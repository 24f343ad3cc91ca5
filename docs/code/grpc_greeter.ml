(* message HelloRequest { string name = 1; }
   message HelloReply { string message = 1; }
   service Greeter {
     rpc SayHello (HelloRequest) returns (HelloReply);
     rpc SayHellos (HelloRequest) returns (stream HelloReply);
   } *)
module Codec = Soil_grpc.Codec
module Method = Soil_grpc.Method
module Wire = Soil_grpc.Wire

(* Both messages have one string, with number 1. *)
let text : string Codec.t =
  {
    encode = (fun s -> Wire.encode (fun b -> Wire.string b 1 s));
    decode =
      Wire.decode "" (fun s number value -> match (number, value) with 1, Bytes s -> s | _ -> s);
  }

let service = "helloworld.Greeter"
let say_hello = Method.unary ~service "SayHello" text text
let say_hellos = Method.server_stream ~service "SayHellos" text text
