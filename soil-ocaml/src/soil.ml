(** Soil: programs as Linux processes and as bootable virtual machines.

    {[
      (* Serves one line to each client, and counts. *)
      let () =
        Soil.run @@ fun () ->
        let listener = Soil.Tcp.listen ~port:7 () in
        print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
        let served = ref 0 in
        Soil.Tcp.serve listener @@ fun conn ->
        incr served;
        Soil.File_descriptor.write_string conn ("you are number " ^ string_of_int !served ^ "\n")
    ]}

    Time spans are in seconds, as [float]s. Buffers are [bytes] or bigarrays. A function waits only
    if its documentation says so, and then only its task waits; outside {!run} the whole program
    does. Blocking functions of other libraries, such as [Unix.sleepf] and [input_line], stop all
    tasks. With the library [soil.threads] other threads may also wait in Soil, but have no tasks:
    see {!module-Task}. Unused modules aren't linked. *)

(** {1:program The program} *)

(** [run main] runs [main ()] as the first task and is its result once all tasks have ended. Inside
    another [run] it is [main ()].

    {b Stopping.} When the machine is asked to stop (SIGTERM or SIGINT, the power button), [main]'s
    task and all others are cancelled: calls that wait raise {!Task.Cancelled}. If [main] then ends
    by that exception, the program exits with status 143 after [at_exit]; if [main] handles it and
    returns or raises another exception, so does [run]. A second request, or 10 seconds, end the
    program immediately. The status is the same in both forms.

    {b Forks.} In the process form a child of [Unix.fork] may go on with tasks, times, descriptors
    and signals of its own, and with [SOIL_NET=host] with the sockets. Soil's own network, disks and
    displays that the program has used before remain the parent's, which the child must not use, and
    operations on them that have begun complete in the parent only.

    {b Failure.} [run] raises an exception of [main] with its backtrace. As in every OCaml program
    an uncaught one is printed with its backtrace on standard error, and the exit status is 2.
    Raises {!exception-Error} with [Deadlock] if all tasks wait for each other. *)
let run : (unit -> 'a) -> 'a = Scheduler.run

(** [exit status] ends the program: inside {!run} all tasks are cancelled and unwound first, then it
    is [Stdlib.exit status], which runs [at_exit]. [Stdlib.exit] can also be called anywhere; it
    unwinds nothing. Either way, disks are synced, data written to connections is delivered within a
    time limit, and everything is closed. Raises [Invalid_argument] if [status] isn't between 0 and
    255. *)
let exit : int -> 'a = Scheduler.exit

(** [version] is this library's version. *)
let version = "0.1.0"

(** [on_vm] is [true] in an image, and [false] in the process form. *)
let on_vm = Soil_raw.on_vm () = 1

(** [pipe ()] is the read end and the write end of a new pipe inside the program with a buffer of
    [capacity] bytes (default: 65536; 1 to 16 MiB). Doesn't wait. Raises [Invalid_argument] if
    [capacity] is out of range. *)
let pipe :
    ?capacity:int ->
    unit ->
    [ `Read | `Shutdown ] File_descriptor.t * [ `Write | `Shutdown ] File_descriptor.t =
  Pipe.create

exception Error = Error.Error
(** The exception that Soil raises. See {!module-Error}. *)

(** {1:modules Modules} *)

module Task = Task
module Domain = Domain
module Supervisor = Supervisor
module Broadcast = Broadcast
module Inbox = Inbox
module Threads = Threads
module Readiness = Readiness
module File_descriptor = File_descriptor
module Flow = Flow
module Reader = Reader
module Writer = Writer
module Tcp = Tcp
module Bound = Bound
module Budget = Budget
module Proxy_protocol = Proxy_protocol
module Udp = Udp
module Vsock = Vsock
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
module Virtual_clock = Virtual_clock
module Random = Random
module Sha256 = Sha256
module Machine = Machine
module Instance = Instance
module Needs = Needs
module Error = Error
module Private = Private
