(** HTTP/1.1 over any flow: TCP, TLS, a pair of pipes in a test.

    Requests and responses have the types of [cohttp] ({!Cohttp.Request.t}, {!Cohttp.Header.t},
    {!Cohttp.Code.status_code}); bodies are flows ({!Soil.Flow}), which
    {!Soil.File_descriptor.copy}, {!Soil.Reader} and {!Soil.Writer} take. Everything is in direct
    style: what waits lets other tasks run. Whatever a peer sends has a limit, of size and of time.

    The heads are read strictly by RFC 9112, not by Cohttp's parser: a line that ends with LF alone,
    a folded field, a space before a colon, two lengths, or a length beside a coding, each of which
    two servers may understand in two ways, are refused and end the connection. *)

module Server = Server
module Access_log = Access_log
module Client = Client
module Files = Files
module Limits = Limits
module Websocket = Websocket
module Date = Date
