module Task = Task
module Supervisor = Supervisor
module Inbox = Inbox
module Threads = Threads
module File_descriptor = File_descriptor
module Flow = Flow
module Reader = Reader
module Writer = Writer
module Tcp = Tcp
module Bound = Bound
module Udp = Udp
module Zero_copy = Zero_copy
module Urgent = Urgent
module Icmp = Icmp
module Routing = Routing
module Ethernet = Ethernet
module Dns = Dns
module Mdns = Mdns
module Net = Net
module Fs = Fs
module File = File
module In_place = In_place
module Kv = Kv
module Embedded = Embedded
module Block = Block
module Cache = Cache
module Clock = Clock
module Random = Random
module Machine = Machine
module Error = Error

exception Error = Error.Error

let run = Scheduler.run
let exit = Scheduler.exit
let version = "0.1.0"
let on_vm = Soil_raw.on_vm () = 1
let pipe = Pipe.create
