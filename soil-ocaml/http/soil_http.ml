module Server = Server
module Access_log = Access_log
module Client = Client
module Files = Files
module Limits = Limits
module Websocket = Websocket
module Date = Date
