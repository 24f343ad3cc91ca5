(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external net_up :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_up_bytecode" "soil_net_up"
[@@noalloc]
(** 0 when an interface has an address, else [PENDING] until the first one has. Errors (also of the
    completion): [No_network] with a detail that says what to do, [Bad_configuration]. *)

external net_sort :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_net_sort_bytecode" "soil_net_sort"
[@@noalloc]
(** Puts the 16-byte addresses in [addresses\[0 .. len\]] into the order in which to try them (RFC
    6724, 6); returns the number of those to which there is a route, which come first. *)

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

external tcp_listen :
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_listen_bytecode" "soil_tcp_listen"
[@@noalloc]
(** Listens at [endpoint] (address zero: at every address; port 0: one is chosen), with up to
    [backlog] connections waiting to be accepted; returns the listener's descriptor. [how] is as in
    [soil_tcp_connect], without the congestion marks, and is what the listener's connections begin
    with. Errors: [Address_in_use], [Address_not_available], [No_network], [Too_many_open]. *)

external tcp_accept :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_accept_bytecode" "soil_tcp_accept"
[@@noalloc]
(** Takes an established connection from the listener and returns its descriptor; [WOULD_BLOCK]. *)

external tcp_connect :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_connect_bytecode" "soil_tcp_connect"
[@@noalloc]
(** Starts a connection and returns its descriptor at once; park with [PARK_WRITE], then ask
    [soil_tcp_connected]. [how], in bits: 0 to 7 the hop limit and 8 to 13 the DSCP, as with
    [soil_net_mark]; 16 and 17 whether to ask for congestion marks (RFC 3168): 0 as configured, 1
    no, 2 yes; 18 to 21: no timestamps, no selective acknowledgements, no window scaling, no pacing;
    24 to 39 as [OPTION_MSS]; 40 to 59: 0 the usual delay of acknowledgements, otherwise 1 more than
    it in microseconds. Errors: [No_network], [Unreachable], [Too_many_open], [Invalid]. *)

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

external tcp_connected :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_connected_bytecode" "soil_tcp_connected"
[@@noalloc]
(** 0 when the connection is established; [WOULD_BLOCK]. Errors: [Connection_refused], [Timed_out],
    [Unreachable]. *)

external tcp_local :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged])
  = "soil_tcp_local_bytecode" "soil_tcp_local"
[@@noalloc]
(** Writes the 18 bytes of the local endpoint of a connection, listener or UDP socket to the start
    of [into]. *)

external tcp_peer :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged])
  = "soil_tcp_peer_bytecode" "soil_tcp_peer"
[@@noalloc]
(** Writes the 18 bytes of the peer's endpoint to the start of [into]. Errors: [Not_connected],
    [Wrong_kind]. *)

external tcp_set :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_set_bytecode" "soil_tcp_set"
[@@noalloc]
(** Sets an option of a connection, or of a listener for its connections, one of [OPTION_*], to
    [value]. Errors: [Invalid] (no such option or value), [Wrong_kind]. *)

external tcp_keepalive :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_keepalive_bytecode" "soil_tcp_keepalive"
[@@noalloc]
(** Probes a connection after [idle] nanoseconds without a word of the peer, 0: never (the state of
    a new one), and then every [interval] nanoseconds; the peer is gone ([Timed_out]) when [count]
    probes, 1 to 255, were not answered. Errors: [Invalid], [Wrong_kind]. *)

external tcp_info :
  (int[@untagged]) ->
  Soil_raw.int_buffer ->
  (int[@untagged])
  = "soil_tcp_info_bytecode" "soil_tcp_info"
[@@noalloc]
(** Fills [into] with the [TcpInfo] of a connection. Errors: [Wrong_kind]. *)

external tcp_abort :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_abort_bytecode" "soil_tcp_abort"
[@@noalloc]
(** Closes the descriptor, and ends the connection with RST: what was not sent yet is lost. *)

external dns_lookup :
  string ->
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_dns_lookup_bytecode" "soil_dns_lookup"
[@@noalloc]
(** Looks the addresses of [name] up ([family] 4, 6, or 0 for both) and writes 16 bytes for each to
    [results]; the result is their number, at most as many as fit. Usually [PENDING]. Errors:
    [No_such_host], [Name_server_failure], [Timed_out], [No_network], [Invalid_name]. *)
