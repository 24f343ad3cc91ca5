module Server = Server
module Client = Client
module Files = Files
module Websocket = Websocket
module Date = Date
