(** Network: addresses and interfaces.

    The network is configured from the environment ([SOIL_IP], [SOIL_GATEWAY], [SOIL_DNS], by DHCP
    where [SOIL_IP] isn't given) when it is first used. *)

(** {1:addresses Addresses} *)

type address = Net_address.t
(** The type for IPv4 and IPv6 addresses. They can be compared with [=] and [compare] and hashed. An
    IPv4 address and the IPv6 address that stands for it ([::ffff:192.0.2.1]) are the same. *)

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
(** Addresses as text and as bytes, compared, hashed and printed. *)

(** {1:endpoints Endpoints} *)

type endpoint = Net_endpoint.t = { address : address; port : int }
(** The type for an address with a port of TCP or UDP, 0 to 65535. *)

val endpoint : address -> int -> endpoint
(** [endpoint address port] is the endpoint. Raises [Invalid_argument] if [port] isn't between 0 and
    65535. *)

module Endpoint = Net_endpoint
(** Endpoints as text, compared, hashed and printed. *)

(** {1:networks Networks and links} *)

type prefix = address * int
(** The type for an address with the length of its network's prefix, in bits. *)

module Prefix = Net_prefix
(** Networks: what is in them, and as text. *)

type mac = Net_mac.t
(** The type for addresses of Ethernet. *)

module Mac = Net_mac
(** Addresses of Ethernet as text and as bytes. *)

(** {1:interfaces Interfaces} *)

type interface = {
  name : string;  (** Such as ["eth0"]. *)
  mac : mac;
  mtu : int;  (** Bytes of payload in a frame. *)
  addresses : prefix list;
  gateway : address option;
  name_servers : address list;
}
(** The type for an interface as it is now. *)

val interfaces : unit -> interface list
(** [interfaces ()] is the machine's interfaces in the order of their discovery, without the
    loopback. Doesn't wait, so DHCP may not have finished; see {!wait_up}. *)

val wait_up : ?timeout:float -> unit -> unit
(** [wait_up ()] waits until an interface has an address, for at most [timeout] seconds (default: as
    long as DHCP may take). Operations of the network, such as connecting and lookups, call it
    themselves. Raises {!Soil.exception-Error} with [Timed_out], or with [No_network] and a detail
    that says what is missing, if there is no interface or DHCP doesn't answer in time. *)

(** {1:sight Sight}

    The same is printed on the error console when a process gets SIGUSR1, and when Ctrl-T is typed
    at a terminal that is a machine's console, with a second line for each connection: what
    {!Tcp.val-info} tells, by the names that [ss -ti] has for it, times in ms and sizes in bytes. *)

type connection = {
  protocol : [ `Tcp | `Udp ];
  local : endpoint;  (** The local endpoint. *)
  remote : endpoint option;  (** [None] for listeners and UDP. *)
  state : string;
      (** Of TCP: the name in {{:https://www.rfc-editor.org/rfc/rfc9293#section-3.3.2}RFC 9293},
          such as ["ESTABLISHED"]; [""] for UDP. *)
  unread : int;  (** Bytes received and not read; for a listener, connections not accepted. *)
  unsent : int;  (** Bytes that the peer hasn't acknowledged. *)
}
(** The type for connections, listeners and UDP sockets as they are now. *)

val connections : unit -> connection list
(** [connections ()] is all of them, in no particular order, including connections that the program
    has closed and that are still being delivered, unfinished handshakes, and connections in
    TIME-WAIT. Doesn't wait. *)

val statistics : unit -> (string * int) list
(** [statistics ()] is the counters so far, and the gauges' present values, by name, such as
    ["link.frames-in"] or ["drop.bad-checksum"]. Doesn't wait. *)

(** {1:filter Packet filter} *)

val filter : string list -> unit
(** [filter rules] puts these rules in force, in place of those of [SOIL_FILTER] or of the last
    call; the first that fits a packet decides, and what fits none passes. A rule is written

    {@text[
      (allow|deny) (in|out) [on eth0] [tcp|udp|icmp] [with ADDRESS[/LENGTH]]
        [port N[-M]] [peer-port N[-M]] [new|established] [limit PER_SECOND BURST [each]]
    ]}

    [with] is the network of the other end, [port] ours and [peer-port] the other's; [new] is what
    begins a connection or exchange; [limit] fits a rate in packets per second, with a burst, [each]
    for each sender. Raises {!Soil.exception-Error} with [Bad_configuration], and a detail that
    shows the rule, if one isn't a rule. *)
