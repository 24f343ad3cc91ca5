(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external net_up :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_up_bytecode" "soil_net_up"
[@@noalloc]
(** 0 when an interface has an address, else [PENDING] until the first one has. Errors (also of the
    completion): [No_network] with a detail that says what to do, [Bad_configuration]. *)

external net_interfaces :
  unit ->
  (int[@untagged])
  = "soil_net_interfaces_bytecode" "soil_net_interfaces"
[@@noalloc]
(** The number of interfaces. Errors: [Bad_configuration]. *)

external net_interface :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_interface_bytecode" "soil_net_interface"
[@@noalloc]
(** Copies a description of interface [index] to [into\[off .. off + len\]], cut where it doesn't
    fit, and returns its whole length: lines [name=…], [mac=…], [mtu=…], [address=…/…] (any number),
    [gateway=…], [dns=…]. *)

external net_vlan :
  (int[@untagged]) ->
  (int[@untagged]) ->
  string ->
  string ->
  (int[@untagged])
  = "soil_net_vlan_bytecode" "soil_net_vlan"
[@@noalloc]
(** Adds an interface for VLAN [id] (1 to 4094) of interface [parent], with the addresses in
    [addresses] and the gateways in [gateways] (both separated by [,]; without addresses it asks
    DHCP and listens to routers); returns its number. Errors: [Invalid], [No_device],
    [Bad_configuration] with a detail. *)

external net_route :
  (int[@untagged]) ->
  string ->
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_net_route_bytecode" "soil_net_route"
[@@noalloc]
(** Adds a route to [network] ([10.1.0.0/16]) over an interface, by way of [gateway] or, if that is
    empty, on the link itself; or takes it away ([add] = 0), whatever its gateway. Errors: [Invalid]
    (no network, mixed families, more than 64), [No_device], [Not_found] (no such route to take
    away). *)

external net_routes :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_routes_bytecode" "soil_net_routes"
[@@noalloc]
(** Copies the table of routes to [into\[off .. off + len\]], cut where it doesn't fit, and returns
    its whole length: a line for each, with the network, the number of the interface and the gateway
    or [-]. *)

external net_connections :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_connections_bytecode" "soil_net_connections"
[@@noalloc]
(** Copies the table of sockets to [into\[off .. off + len\]], cut where it doesn't fit, and returns
    its whole length: a line for each, with the protocol, its own end, the other end or [-], the
    state (RFC 9293, 3.3.2) or [-], the bytes received and not read (of a listener: connections not
    accepted) and the bytes that aren't acknowledged. *)

external net_statistics :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_statistics_bytecode" "soil_net_statistics"
[@@noalloc]
(** Copies what the network counts to [into\[off .. off + len\]], cut where it doesn't fit, and
    returns its whole length: lines [name=value]. *)

external net_filter :
  string ->
  (int[@untagged])
  = "soil_net_filter_bytecode" "soil_net_filter"
[@@noalloc]
(** Puts the rules of the packet filter in [rules] in force, in place of those before. Errors:
    [Bad_configuration] with a detail. *)

external net_mark :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_mark_bytecode" "soil_net_mark"
[@@noalloc]
(** Chooses the hop limit or the DSCP, one of [MARK_*], of what a connection or UDP socket sends
    from now on; of a listener: for its answers and for the connections that it establishes from now
    on. Errors: [Invalid] (no such value), [Wrong_kind]. *)

external net_sort :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_sort_bytecode" "soil_net_sort"
[@@noalloc]
(** Puts the 16-byte addresses in [addresses\[0 .. len\]] into the order in which to try them (RFC
    6724, 6); returns the number of those to which there is a route, which come first. *)

external dns_lookup :
  string ->
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_dns_lookup_bytecode" "soil_dns_lookup"
[@@noalloc]
(** Looks the addresses of [name] up ([family] 4, 6, or 0 for both) and writes 16 bytes for each to
    [results]; the result is their number, at most as many as fit. Usually [PENDING]. Errors:
    [No_such_host], [Name_server_failure], [Timed_out], [No_network], [Invalid_name]. *)

external dns_query :
  string ->
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_dns_query_bytecode" "soil_dns_query"
[@@noalloc]
(** Looks records of [name] up whose type has the number [kind] (1 A, 5 CNAME, 12 PTR, 16 TXT, 28
    AAAA, 33 SRV) and writes as many as fit to [results]; the result is the number of bytes. Each
    record is its time to live in seconds (4 bytes, the highest first), the length of what follows
    (2 bytes), and: the 16 bytes of an address; a name as text; priority, weight and port (2 bytes
    each) and a name; or strings with a byte before each that says its length. Usually [PENDING].
    Errors: as [soil_dns_lookup]. *)

external dns_servers :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_dns_servers_bytecode" "soil_dns_servers"
[@@noalloc]
(** Copies the name servers of lookups to [into\[0 .. len\]], cut where they don't fit, and returns
    the length: text such as [10.0.0.1:53, \[fd00::1\]:53]. *)

external echo :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_echo_bytecode" "soil_echo"
[@@noalloc]
(** Sends an echo request with [len] bytes to the address of [endpoint], whose port is of no
    meaning; returns a descriptor that is readable once it is answered. Errors: [Invalid] (a group,
    or no address), [Unreachable], [Message_too_long] (more than 65 000 bytes), [Out_of_memory]
    (more than 64 at a time). *)

external echo_result :
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged])
  = "soil_echo_result_bytecode" "soil_echo_result"
[@@noalloc]
(** Fills [into] with an [EchoReply]. [WOULD_BLOCK]. Errors: [Unreachable], [Wrong_kind]. *)

external ethernet_open :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_ethernet_open_bytecode" "soil_ethernet_open"
[@@noalloc]
(** A socket for the frames of this type on interface [interface]; returns its descriptor. Errors:
    [Invalid] (a type of the machine's own: IPv4, IPv6, ARP, VLAN; or none), [Address_in_use],
    [No_device]. *)

external ethernet_send :
  (int[@untagged]) ->
  string ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_ethernet_send_bytecode" "soil_ethernet_send"
[@@noalloc]
(** Sends [from\[off .. off + len\]] in a frame to the 6-byte address [destination]; returns [len].
    [WOULD_BLOCK]. Errors: [Message_too_long]. *)

external ethernet_receive :
  (int[@untagged]) ->
  bytes ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_ethernet_receive_bytecode" "soil_ethernet_receive"
[@@noalloc]
(** Receives the payload of a frame to [into\[off ..\]], cut where it doesn't fit, and writes its
    source and destination, 6 bytes each, to the start of [addresses]; returns the number of bytes
    written. [WOULD_BLOCK]. *)
