(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external ethernet_open :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_ethernet_open"
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
  = "soil_needs_native_code" "soil_ethernet_send"
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
  = "soil_needs_native_code" "soil_ethernet_receive"
[@@noalloc]
(** Receives the payload of a frame to [into\[off ..\]], cut where it doesn't fit, and writes its
    source and destination, 6 bytes each, to the start of [addresses]; returns the number of bytes
    written. [WOULD_BLOCK]. *)
