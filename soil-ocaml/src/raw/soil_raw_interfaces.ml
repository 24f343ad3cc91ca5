(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

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
