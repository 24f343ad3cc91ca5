(** Needs of a program: what it wants of its machine, checked before it runs.

    {[
      let data = Soil.Needs.volume "data" ~at_least:(Soil.Needs.mib 64) ~doc:"the values"
      let http = Soil.Needs.port "http" 80
      let () = Soil.Needs.memory (Soil.Needs.mib 48)

      let () =
        Soil.run @@ fun () ->
        let listener = Soil.Tcp.listen ~port:http () in
        Soil.Tcp.serve listener (answer_from data)
    ]}

    A need is declared by a function that returns what the program then uses: the folder of a
    volume, the name of a disk or of a display, the number of a port. [soil run] asks the program
    for its needs before it starts it with its devices. It refuses if something is missing or isn't
    what was asked for, with the option to give, and supplies defaults: the memory, the network,
    forwarded ports, mount points, a window. [soil needs PROGRAM] prints them. See
    [docs/book/needs.md].

    Declare needs before {!Soil.run}, usually in the initialisation of modules, or between reading
    the program's arguments and [Soil.run]. Until then the program must use no device: when it is
    asked for its needs it has none. Declaring waits for nothing.

    The program checks its needs itself as well, so that it can be started without [soil run]: at
    the beginning of the first {!Soil.run}, by opening what isn't optional. A disk, a volume, an
    interface, a display, a keyboard, memory or a processor that is missing, a disk or a display
    that is too small, and a disk that is read-only, are each a line in the error output; then the
    program ends with status 125. The file system of a volume and its size aren't checked then.
    [SOIL_NEEDS=ignore] leaves the check out.

    Names have 1 to 20 characters: small letters, digits and [_]. All functions raise
    [Invalid_argument] if the name isn't one or was declared before, if a size or number is out of
    range, or after {!Soil.run} has begun. *)

(** {1 Sizes} *)

val kib : int -> int
(** [kib n] is [n] times 1024 bytes. *)

val mib : int -> int
(** [mib n] is [n] times 1024{^ 2} bytes. *)

val gib : int -> int
(** [gib n] is [n] times 1024{^ 3} bytes. *)

(** {1 Devices} *)

type file_system = [ `Fat | `Ext4 | `Tar | `Memory | `Host ]
(** The type for file systems: those of disks, the volume in memory, and a folder of the host, which
    only a process can have. *)

val volume :
  ?at:string ->
  ?file_systems:file_system list ->
  ?at_least:int ->
  ?read_only:bool ->
  ?optional:bool ->
  ?doc:string ->
  string ->
  string
(** [volume name] declares a file system that {!Fs} uses, and is the folder where it is mounted:
    [at], an absolute path (default: [/] and the name).

    [soil run --disk NAME=FILE] gives it, or [--mount AT=…] whatever is mounted there.
    [file_systems] are those that will do (default: any), and [at_least] is the number of bytes that
    its disk or partition has to have (default: any). With [~read_only:true] (default: [false]) the
    program writes nothing to it, and a disk that can't be written will do. With [~optional:true]
    (default: [false]) the program works without it; what is given is checked all the same. [doc]
    says in a few words, on one line, what it is for. *)

val disk : ?at_least:int -> ?read_only:bool -> ?optional:bool -> ?doc:string -> string -> string
(** [disk name] declares a disk that is used as sectors, and is [name], for {!Block.open_}. The
    other arguments are as for {!volume}. *)

val net : ?doc:string -> string -> string
(** [net name] declares a network, and is the name of its interface: ["eth0"] for the first one that
    is declared, ["eth1"] for the second; on Linux's own sockets there are no such interfaces.
    [soil run] wants one [--net] for each if it is given any. A program that needs one network whose
    interface it needn't name can leave this to {!port}, or declare nothing. *)

val port : ?protocol:[ `Tcp | `Udp ] -> ?doc:string -> string -> int -> int
(** [port name number] declares that peers reach the program at this port ([protocol] defaults to
    [`Tcp]), and is [number]. Where the network is QEMU's or passt's and no [--forward] leads to the
    port, [soil run] forwards the same port of 127.0.0.1, or 8000 more if the number is below 1024:
    8080 leads to 80, 8443 to 443. *)

val display : ?at_least:int * int -> ?optional:bool -> ?doc:string -> string -> string
(** [display name] declares a display, and is its name for [Soil_display.open_]: ["display0"] for
    the first one that is declared, ["display1"] for the second. [soil run --display] gives it;
    without that option [soil run] opens a window, if there is a desktop. [at_least] is the least
    width and height in pixels of its size or one of its modes (default: any). The other arguments
    are as for {!volume}. *)

val input : unit -> unit
(** [input ()] declares that the program needs a keyboard and a pointer, for [Soil_input]. They come
    with a display. *)

val memory : int -> unit
(** [memory bytes] declares that the machine needs at least this much memory: an image gets it
    unless [--mem] says otherwise. Of several declarations the largest counts. *)

val cpus : int -> unit
(** [cpus n] declares that the program needs [n] processors at least. An image has one at present.
    Of several declarations the largest counts. *)

(** {1 Being asked}

    {!Soil.run} does what follows; only programs that don't call it, or that end before, need it. *)

val asked : unit -> bool
(** [asked ()] is [true] iff the program was started to tell its needs, with [SOIL_NEEDS=json]: it
    has no devices then. Raises {!Soil.exception-Error} with [Bad_configuration] if [SOIL_NEEDS] has
    another value. *)

type ends = { status : int; output : string; error : string }
(** The type for ends of a program that only prints, as with [--help] or with mistaken arguments:
    exit status, and what goes to standard output and error output. *)

val answer : ?ends:ends -> unit -> unit
(** [answer ()] prints the needs to standard output and exits with status 0, without [at_exit], if
    {!asked}; else it does nothing. With [ends] it says that the program, with its present
    arguments, ends so before it uses anything: [soil run] then checks nothing and ends likewise. *)
