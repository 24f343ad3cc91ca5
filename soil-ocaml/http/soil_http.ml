module Server = Server
module Files = Files
module Date = Date
