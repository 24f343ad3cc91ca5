(** Sockets between a machine and its host
    ({{:https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html}virtio 1.2} §5.10,
    [AF_VSOCK] in Linux).

    They need no network: no interface, address or route, and nothing that others could reach. In an
    image they are those of its virtio-vsock device ([soil run --vsock]), in a process those of
    Linux. Listeners and connections are descriptors; {!File_descriptor} reads, writes, shuts down
    and closes them, as those of {!Tcp}. For timeouts of reads and writes use {!Task.timeout}.

    {[
      let () =
        Soil.run @@ fun () ->
        Soil.Vsock.serve (Soil.Vsock.listen ~port:1024 ()) @@ fun connection ->
        Soil.File_descriptor.write_string connection "hello\n"
    ]}

    An image has at most 1024 listeners and connections, whose buffers take at most an eighth of its
    memory. A device that takes no data for 10 to 15 s ends all connections with [Timed_out]; so
    does one whose host process was killed, at most 20 s later. *)

type connection = [ `Read | `Write | `Shutdown | `Vsock | `Vsock_connection ] File_descriptor.t
(** The type for connections. *)

type listener = [ `Vsock | `Vsock_listener ] File_descriptor.t
(** The type for listeners. *)

type address = {
  cid : int;  (** The context identifier of a machine. *)
  port : int;  (** A port in it, up to [2^32 - 2]. *)
}
(** The type for addresses. *)

val host : int
(** [host] is the host's CID, 2. *)

val loopback : int
(** [loopback] is this machine's CID for itself, 1. Linux has it with the module [vsock_loopback].
*)

val cid : unit -> int option
(** [cid ()] is this machine's CID; [None] if Linux hasn't given it one. Raises
    {!Soil.exception-Error} with [No_device]. *)

val to_string : address -> string
(** [to_string a] is [a] in the form [CID:PORT]. *)

(** {1:server Servers} *)

val listen : ?backlog:int -> ?cid:int -> ?port:int -> unit -> listener
(** [listen ()] is a listener on [port] (default: a free one; {!local} returns it) of [cid], this
    machine's or {!loopback} (default: both). Up to [backlog] (default: 1024; 1 to 65535)
    established connections wait for {!accept}. Linux reserves the ports up to 1023. Doesn't wait.
    Raises {!Soil.exception-Error} with [Address_in_use], [Address_not_available],
    [Permission_denied], [Too_many_open] or [No_device]. Raises [Invalid_argument] if a number is
    out of range. *)

val accept : ?timeout:float -> [> `Vsock_listener ] File_descriptor.t -> connection
(** [accept l] waits for a connection to [l], for at most [timeout] seconds (default: no limit). It
    raises as {!Tcp.accept}. *)

val serve :
  ?max_connections:int ->
  ?grace:float ->
  ?on_error:(connection -> exn -> unit) ->
  [> `Vsock_listener ] File_descriptor.t ->
  (connection -> unit) ->
  unit
(** [serve l handler] runs [handler] for each connection in its own task, as {!Tcp.serve} does. *)

(** {1:client Clients} *)

val connect : ?timeout:float -> address -> connection
(** [connect a] is a connection to [a]. It waits for the peer for at most [timeout] seconds; the
    protocol's own limit is 2 s. Raises {!Soil.exception-Error} with [Connection_refused],
    [Timed_out], [Unreachable], [Too_many_open] or [No_device]. Raises [Invalid_argument] if a
    number is out of range. *)

val with_connection : ?timeout:float -> address -> (connection -> 'a) -> 'a
(** [with_connection a f] is [f c] for a connection [c] to [a] that is closed when that returns or
    raises. *)

(** {1:connections Connections} *)

val local : [> `Vsock ] File_descriptor.t -> address
(** [local d] is the local address of a connection or listener. The CID of a listener at both is
    [2^32 - 1]. *)

val peer : [> `Vsock_connection ] File_descriptor.t -> address
(** [peer c] is the remote address of a connection. *)

val abort : [> `Vsock_connection ] File_descriptor.t -> unit
(** [abort c] closes [c] with a reset and drops undelivered data. Linux still delivers it. *)
