module Server = Server
module Client = Client
module Files = Files
module Limits = Limits
module Websocket = Websocket
module Date = Date
