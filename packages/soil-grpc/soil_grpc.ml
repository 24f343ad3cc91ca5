(** gRPC over [soil-http]: servers and clients in direct style, gRPC-Web, health and reflection.

    Messages are the program's values, by {!Codec}s that a generator or a hand wrote; {!Method} says
    which methods a service has, for both sides. All input from the other side has limits of size
    and time. *)

module Status = Status
module Metadata = Metadata
module Codec = Codec
module Wire = Wire
module Method = Method
module Encoding = Encoding
module Reader = Reader
module Server = Server
module Client = Client
module Health = Health
module Reflection = Reflection
