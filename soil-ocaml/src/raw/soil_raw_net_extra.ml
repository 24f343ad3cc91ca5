(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external tcp_bind :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_bind_bytecode" "soil_tcp_bind"
[@@noalloc]
(** Takes [endpoint] (address zero: every address; port 0: one is chosen) for
    [soil_tcp_listen_bound] or [soil_tcp_connect_bound] and returns a descriptor of the kind of
    listeners. [how] is as in [soil_tcp_connect]. A SYN to it is refused. Errors: as for
    [soil_tcp_listen]. *)

external tcp_listen_bound :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_listen_bound_bytecode" "soil_tcp_listen_bound"
[@@noalloc]
(** Listens at what was bound, with up to [backlog] connections waiting to be accepted. Errors:
    [Wrong_kind], [Closed]. *)

external tcp_connect_bound :
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_tcp_connect_bound_bytecode" "soil_tcp_connect_bound"
[@@noalloc]
(** Starts a connection from what was bound, whose descriptor is closed unless this fails; returns
    the connection's, as [soil_tcp_connect] does. Errors: those, and [Wrong_kind] for one that
    listens. *)

external tcp_send_urgent :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_send_urgent_bytecode" "soil_tcp_send_urgent"
[@@noalloc]
(** Marks all that was written to a connection so far as urgent: the peer gets the pointer at once,
    even if its window is closed. Errors: [Wrong_kind], [Not_connected]. *)

external tcp_urgent :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_urgent_bytecode" "soil_tcp_urgent"
[@@noalloc]
(** The number of bytes from the next one to be read to the last that the peer calls urgent, come or
    still to come; 0: none. The last [back] bytes that were read count as not read. [soil_fd_park]
    with [PARK_READ] ends when there are more, too. Errors: [Wrong_kind]. *)

external dns_query :
  string ->
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
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
  Soil_raw.int_buffer ->
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
