(** Network: addresses and interfaces.

    The network is configured at first use, from the environment ([SOIL_IP], [SOIL_GATEWAY],
    [SOIL_DNS]), or by DHCP without [SOIL_IP]. *)

(** {1:addresses Addresses} *)

type address = Net_address.t
(** The type for IPv4 and IPv6 addresses. They can be compared with [=] and [compare] and hashed. An
    IPv4 address and its IPv4-mapped IPv6 address ([::ffff:192.0.2.1]) are the same. *)

val v4 : int -> int -> int -> int -> address
(** [v4 192 0 2 1] is [192.0.2.1]. Raises [Invalid_argument] if a number isn't between 0 and 255. *)

val any : address
(** [any] is the unspecified address [::]: when listening, every IPv4 and IPv6 address of the
    machine. *)

val any_v4 : address
(** [any_v4] is [0.0.0.0]. *)

val loopback : address
(** [loopback] is [127.0.0.1]. *)

module Address = Net_address
(** Conversion, comparison, hashing and printing of addresses. *)

(** {1:endpoints Endpoints} *)

type endpoint = Net_endpoint.t = { address : address; port : int }
(** The type for an address with a TCP or UDP port, 0 to 65535. *)

val endpoint : address -> int -> endpoint
(** [endpoint address port] is the endpoint. Raises [Invalid_argument] if [port] isn't between 0 and
    65535. *)

module Endpoint = Net_endpoint
(** Conversion, comparison, hashing and printing of endpoints. *)

(** {1:networks Networks and links} *)

type prefix = address * int
(** The type for an address with the length of its network's prefix, in bits. *)

module Prefix = Net_prefix
(** Networks: membership and conversion. *)

type mac = Net_mac.t
(** The type for Ethernet addresses. *)

module Mac = Net_mac
(** Conversion of Ethernet addresses. *)

(** {1:interfaces Interfaces} *)

type interface = {
  name : string;  (** Such as ["eth0"]. *)
  mac : mac;
  mtu : int;  (** Bytes of payload in a frame. *)
  addresses : prefix list;
  gateway : address option;
  name_servers : address list;
}
(** The type for the current state of an interface. *)

val interfaces : unit -> interface list
(** [interfaces ()] is the machine's interfaces in the order of their discovery, without the
    loopback. Doesn't wait, so DHCP may not have finished; see {!wait_up}. *)

val wait_up : ?timeout:float -> unit -> unit
(** [wait_up ()] waits until an interface has an address, for at most [timeout] seconds (default:
    the limit of DHCP). Network operations, such as connects and lookups, call it themselves. Raises
    {!Soil.exception-Error} with [Timed_out], or with [No_network] and a detail with the cause, if
    there is no interface or DHCP doesn't answer in time. *)

(** {1:sight Observability}

    A process prints the same on standard error on SIGUSR1, a machine on Ctrl-T at its terminal,
    with a second line for each connection: the fields of {!Tcp.val-info} with the names of
    [ss -ti], times in ms and sizes in bytes. *)

type connection = {
  protocol : [ `Tcp | `Udp ];
  local : endpoint;  (** The local endpoint. *)
  remote : endpoint option;  (** [None] for listeners and UDP. *)
  state : string;
      (** For TCP the name in {{:https://www.rfc-editor.org/rfc/rfc9293#section-3.3.2}RFC 9293},
          such as ["ESTABLISHED"]; [""] for UDP. *)
  unread : int;  (** Bytes received and not read; for a listener, connections not accepted. *)
  unsent : int;  (** Bytes that the peer hasn't acknowledged. *)
}
(** The type for the current state of connections, listeners and UDP sockets. *)

val connections : unit -> connection list
(** [connections ()] is all of them, in no particular order, including closed connections that are
    still sending, unfinished handshakes, and connections in TIME-WAIT. Doesn't wait. *)

val statistics : unit -> (string * int) list
(** [statistics ()] is the counters and the current values of gauges, by name, such as
    ["link.frames-in"] or ["drop.bad-checksum"]. Doesn't wait. *)

(** {1:filter Packet filter} *)

val filter : string list -> unit
(** [filter rules] replaces the rules of [SOIL_FILTER] or of the last call; the first matching rule
    decides, and a packet without a match passes. The syntax of a rule is

    {@text[
      (allow|deny) (in|out) [on eth0] [tcp|udp|icmp] [with ADDRESS[/LENGTH]]
        [port N[-M]] [peer-port N[-M]] [new|established] [limit PER_SECOND BURST [each]]
    ]}

    [with] is the peer's network, [port] the local port and [peer-port] the peer's; [new] matches
    packets that begin a connection or exchange; [limit] matches up to a rate in packets per second,
    with a burst, [each] per sender. Raises {!Soil.exception-Error} with [Bad_configuration], and a
    detail that shows the rule, for an invalid one. *)
