module Server = Server
module Client = Client
module Files = Files
module Date = Date
