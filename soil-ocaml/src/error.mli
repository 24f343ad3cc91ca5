(** Errors.

    Everything in Soil that fails for a reason outside the program raises the one exception
    {!exception-Error} with a value of type {!t}. The end of input is never an error ([0] bytes
    read, or [End_of_file]), and [Invalid_argument] is for the caller's own mistakes. *)

(** {1:errors Errors} *)

(** The type for what went wrong. The list only grows; new codes are added at its end. *)
type code =
  | Invalid  (** The other side of the boundary refused an argument. *)
  | Closed  (** The descriptor was closed, by this task or by another. *)
  | Not_found  (** No such file, directory or device. *)
  | Exists  (** The file or directory is there already. *)
  | Not_directory  (** A directory was needed, or a component of the path is a file. *)
  | Is_directory  (** A file was needed. *)
  | Not_empty  (** The directory has entries. *)
  | No_space  (** The disk, or the directory's fixed table, is full. *)
  | Read_only  (** The disk or the descriptor can't be written. *)
  | Invalid_name  (** The file system has no way to write this name. *)
  | Name_too_long  (** A name or path is longer than the file system allows. *)
  | Too_large  (** The size or the offset is beyond what the file system allows. *)
  | Corrupt  (** The file system's own data contradict each other. *)
  | Io  (** The device failed. *)
  | Busy  (** It is in use elsewhere in the program, or a disk by another program. *)
  | Unsupported  (** This device or file system can't do it. *)
  | Connection_refused  (** The peer answered that nobody listens there. *)
  | Connection_reset  (** The peer broke the connection. *)
  | Timed_out  (** The time given, or the protocol's own limit, is over. *)
  | Unreachable  (** There is no route, or a router said so. *)
  | Address_in_use  (** Another descriptor has this address and port. *)
  | Address_not_available  (** No interface has this address, or all ports are taken. *)
  | Not_connected  (** The connection isn't established (any more). *)
  | Broken_pipe  (** Nobody will read what is written. *)
  | No_device  (** The machine has no such device. *)
  | No_entropy  (** The machine has no source of random numbers. *)
  | Out_of_memory  (** The machine's memory doesn't suffice for the buffers. *)
  | Too_many_open  (** The table of descriptors is full. *)
  | Cancelled  (** The operation was taken back. *)
  | Wrong_kind  (** The descriptor is of a kind that can't do this. *)
  | No_such_host  (** The name server says that the name has no address. *)
  | No_network  (** No network interface, or none has an address yet. *)
  | Name_server_failure  (** No name server answered usefully. *)
  | Message_too_long  (** The datagram is larger than can be sent. *)
  | Bad_configuration  (** A [SOIL_…] variable can't be understood. *)
  | Permission_denied  (** The host doesn't let the process do it. *)
  | Too_many_links
      (** A path leads over more than 40 symbolic links, or a file has as many names as it can have.
      *)
  | Cross_volume  (** Two paths are on different volumes. *)
  | Deadlock  (** Every task waits for another one and nothing can wake any of them. *)
  | Unknown of int  (** A code that this version of the library doesn't know. *)

type t = {
  code : code;  (** What went wrong. *)
  operation : string;  (** What was tried, such as ["tcp connect"]. *)
  subject : string;  (** What it was done to, such as ["10.0.0.9:80"]; [""] if nothing. *)
  detail : string;
      (** More than the code says, one line without a final point, with the remedy if there is one;
          [""] if nothing. *)
}
(** The type for errors. *)

exception Error of t
(** Raised by every function of Soil that says so. It is also [Soil.Error]. *)

(** {1:use Use} *)

val catch : (unit -> 'a) -> ('a, t) result
(** [catch f] is [Ok (f ())], or [Error e] if that raises {!exception-Error}[ e]. Other exceptions,
    cancellation among them, pass. *)

val to_string : t -> string
(** [to_string e] is one line for people: operation, subject and reason, such as
    ["tcp connect 10.0.0.9:80: connection refused"]. *)

val message : code -> string
(** [message code] is a lower-case phrase for [code], such as ["connection refused"]. *)

val fail : ?subject:string -> ?detail:string -> code -> string -> 'a
(** [fail code operation ~subject ~detail] raises {!exception-Error} with these parts. [subject] and
    [detail] are [""] unless given. *)

val printer : exn -> string option
(** [printer] shows {!exception-Error} in the words of {!to_string}. In a program that has
    [Printexc] it is registered there, so that [Printexc.to_string] shows these words; Soil itself
    doesn't link that module, which would add 300 KB to every image. An exception that nobody
    catches is shown in these words in any case. *)
