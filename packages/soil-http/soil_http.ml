(** HTTP/1.1 and HTTP/2 over any flow: TCP, TLS, pipes in a test.

    Requests and responses have the types of [cohttp] ({!Cohttp.Request.t}, {!Cohttp.Header.t},
    {!Cohttp.Code.status_code}); bodies are flows ({!Soil.Flow}), for {!Soil.File_descriptor.copy},
    {!Soil.Reader} and {!Soil.Writer}. Everything is in direct style: calls that wait let other
    tasks run. All input from a peer has limits of size and time.

    Heads are parsed strictly by RFC 9112, not by Cohttp's parser: a line that ends with LF alone, a
    folded field, a space before a colon, two lengths, or a length with a coding, which two servers
    may interpret differently, are rejected and end the connection. *)

module Server = Server
module Access_log = Access_log
module Client = Client
module Files = Files
module Limits = Limits
module Http2 = Http2
module Proxy = Proxy
module Forwarded = Forwarded
module Limit = Limit
module Websocket = Websocket
module Events = Events
module Router = Router
module Middleware = Middleware
module Error_page = Error_page
module Cookie = Cookie
module Signed = Signed
module Session = Session
module Csrf = Csrf
module Auth = Auth
module Form = Form
module Multipart = Multipart
module Media_type = Media_type
module Encoding = Encoding
module Date = Date
module Test = Test
