(** Needs of a program: requirements on the machine, checked before it runs.

    {[
      let data = Soil.Needs.volume "data" ~at_least:(Soil.Needs.mib 64) ~doc:"the values"
      let http = Soil.Needs.port "http" 80
      let () = Soil.Needs.memory (Soil.Needs.mib 48)

      let () =
        Soil.run @@ fun () ->
        let listener = Soil.Tcp.listen ~port:http () in
        Soil.Tcp.serve listener (answer_from data)
    ]}

    A function declares each need and returns what the program uses: the folder of a volume, the
    name of a disk or of a display, the number of a port. [soil run] queries the program's needs
    before it starts it with its devices. If one isn't met, it fails with an error that names the
    option. It supplies defaults: memory, network, forwarded ports, mount points, a window.
    [soil needs PROGRAM] prints the needs. See [docs/book/needs.md].

    Declare needs before {!Soil.run}, usually during module initialisation, or after parsing the
    program's arguments. The program must not use devices before [Soil.run]: during the query it has
    none. Declarations don't wait.

    The program also checks its needs itself, so that it can be started without [soil run]: at the
    beginning of the first {!Soil.run} it opens everything that isn't optional. A missing disk,
    volume, interface, display, keyboard, memory or processor, a disk or a display that is too
    small, and a read-only disk are each a line on standard error; then the program ends with status
    125. This doesn't check a volume's file system and size. [SOIL_NEEDS=ignore] disables the check.

    Names have 1 to 20 characters: lowercase letters, digits and [_]. All functions raise
    [Invalid_argument] if the name is invalid or already declared, if a size or number is out of
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
(** The type for file systems: of disks, in memory, and host folders, which a process takes for any
    of them and an image can't have. *)

val volume :
  ?at:string ->
  ?file_systems:file_system list ->
  ?at_least:int ->
  ?read_only:bool ->
  ?optional:bool ->
  ?doc:string ->
  string ->
  string
(** [volume name] declares a file system for {!Fs}, and is its mount point: [at], an absolute path
    (default: [/] and the name).

    [soil run --disk NAME=FILE] attaches it, or [--mount AT=…] any other source; in a process
    [--mount AT=host:FOLDER] always is accepted. [file_systems] are the accepted types of others
    (default: any), and [at_least] is the minimum size in bytes of its disk or partition (default:
    any). With [~read_only:true] (default: [false]) the program doesn't write to it, and a read-only
    disk is accepted. With [~optional:true] (default: [false]) the program works without it; an
    attached one is still checked. [doc] is a short description on one line. *)

val disk : ?at_least:int -> ?read_only:bool -> ?optional:bool -> ?doc:string -> string -> string
(** [disk name] declares a raw disk, and is [name], for {!Block.open_}. The other arguments are as
    for {!volume}. *)

val net : ?doc:string -> string -> string
(** [net name] declares a network, and is the name of its interface: ["eth0"] for the first
    declaration, ["eth1"] for the second; Linux's own sockets have no such interfaces. [soil run]
    requires one [--net] for each if it has any. A program that needs one network, without naming
    its interface, can use {!port} instead, or declare nothing. *)

val port : ?protocol:[ `Tcp | `Udp | `Both ] -> ?doc:string -> string -> int -> int
(** [port name number] declares a port for peers ([protocol] defaults to [`Tcp]; [`Both] is TCP and
    UDP, as a DNS server has them), and is [number]. On QEMU's and passt's networks [soil run]
    forwards the same port of 127.0.0.1, plus 8000 if below 1024 (8080 to 80, 8443 to 443), unless
    there is a [--forward] to the port. *)

val display : ?at_least:int * int -> ?optional:bool -> ?doc:string -> string -> string
(** [display name] declares a display, and is its name for [Soil_display.open_]: ["display0"] for
    the first declaration, ["display1"] for the second. [soil run --display] attaches it; without
    that option [soil run] opens a window, if there is a desktop. [at_least] is the minimum width
    and height in pixels of its size or one of its modes (default: any). The other arguments are as
    for {!volume}. *)

val input : unit -> unit
(** [input ()] declares a keyboard and a pointer, for [Soil_input]. They come with a display. *)

val memory : int -> unit
(** [memory bytes] declares the minimum memory of the machine: an image gets it unless [--mem]
    overrides it. The largest of several declarations applies. *)

val cpus : int -> unit
(** [cpus n] declares the minimum number of processors: an image has one unless [--cpus] gives it
    more and it refers to [Domain.spawn], a process those that Linux lets it use. The largest of
    several declarations applies. *)

(** {1 Query protocol}

    {!Soil.run} calls these functions; only programs that don't call it, or that end before, need
    them. *)

val asked : unit -> bool
(** [asked ()] is [true] iff the program was started for a query, with [SOIL_NEEDS=json]: it then
    has no devices. Raises {!Soil.exception-Error} with [Bad_configuration] if [SOIL_NEEDS] has
    another value. *)

type ends = { status : int; output : string; error : string }
(** The type for ends of a program that only prints, as with [--help] or invalid arguments: exit
    status, standard output and standard error. *)

val answer : ?ends:ends -> unit -> unit
(** [answer ()] prints the needs on standard output and exits with status 0, without [at_exit], if
    {!asked}; otherwise it does nothing. With [ends] it reports that the program, with its current
    arguments, ends like this before it uses anything: [soil run] then checks nothing and ends
    likewise. *)
