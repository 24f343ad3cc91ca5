(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external net_up : (int[@untagged]) -> (int[@untagged])
  = "soil_net_up_bytecode" "soil_net_up" [@@noalloc]

external net_interfaces : unit -> (int[@untagged])
  = "soil_net_interfaces_bytecode" "soil_net_interfaces" [@@noalloc]

external net_interface :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_net_interface_bytecode" "soil_net_interface" [@@noalloc]

external net_vlan : (int[@untagged]) -> (int[@untagged]) -> string -> string -> (int[@untagged])
  = "soil_net_vlan_bytecode" "soil_net_vlan" [@@noalloc]

external net_route : (int[@untagged]) -> string -> (int[@untagged]) -> string -> (int[@untagged])
  = "soil_net_route_bytecode" "soil_net_route" [@@noalloc]

external net_routes : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_net_routes_bytecode" "soil_net_routes" [@@noalloc]

external net_connections : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_net_connections_bytecode" "soil_net_connections" [@@noalloc]

external net_statistics : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_net_statistics_bytecode" "soil_net_statistics" [@@noalloc]

external net_filter : string -> (int[@untagged])
  = "soil_net_filter_bytecode" "soil_net_filter" [@@noalloc]

external net_mark : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_net_mark_bytecode" "soil_net_mark" [@@noalloc]

external net_sort : bytes -> (int[@untagged]) -> (int[@untagged])
  = "soil_net_sort_bytecode" "soil_net_sort" [@@noalloc]

external dns_lookup :
  string ->
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_dns_lookup_bytecode" "soil_dns_lookup" [@@noalloc]

external dns_query :
  string ->
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_dns_query_bytecode" "soil_dns_query" [@@noalloc]

external dns_servers : bytes -> (int[@untagged]) -> (int[@untagged])
  = "soil_dns_servers_bytecode" "soil_dns_servers" [@@noalloc]

external echo : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_echo_bytecode" "soil_echo" [@@noalloc]

external echo_result : (int[@untagged]) -> int_buffer -> (int[@untagged])
  = "soil_echo_result_bytecode" "soil_echo_result" [@@noalloc]

external ethernet_open : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_ethernet_open_bytecode" "soil_ethernet_open" [@@noalloc]

external ethernet_send :
  (int[@untagged]) -> string -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_ethernet_send_bytecode" "soil_ethernet_send" [@@noalloc]

external ethernet_receive :
  (int[@untagged]) -> bytes -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_ethernet_receive_bytecode" "soil_ethernet_receive" [@@noalloc]
