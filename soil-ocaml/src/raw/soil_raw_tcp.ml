(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external tcp_listen : string -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_listen_bytecode" "soil_tcp_listen" [@@noalloc]

external tcp_accept : (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_accept_bytecode" "soil_tcp_accept" [@@noalloc]

external tcp_refused : (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_refused_bytecode" "soil_tcp_refused" [@@noalloc]

external tcp_connect : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_connect_bytecode" "soil_tcp_connect" [@@noalloc]

external tcp_connected : (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_connected_bytecode" "soil_tcp_connected" [@@noalloc]

external tcp_bind : string -> (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_bind_bytecode" "soil_tcp_bind" [@@noalloc]

external tcp_listen_bound : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_listen_bound_bytecode" "soil_tcp_listen_bound" [@@noalloc]

external tcp_connect_bound : (int[@untagged]) -> string -> (int[@untagged])
  = "soil_tcp_connect_bound_bytecode" "soil_tcp_connect_bound" [@@noalloc]

external tcp_local : (int[@untagged]) -> bytes -> (int[@untagged])
  = "soil_tcp_local_bytecode" "soil_tcp_local" [@@noalloc]

external tcp_peer : (int[@untagged]) -> bytes -> (int[@untagged])
  = "soil_tcp_peer_bytecode" "soil_tcp_peer" [@@noalloc]

external tcp_set : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_set_bytecode" "soil_tcp_set" [@@noalloc]

external tcp_keepalive :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_keepalive_bytecode" "soil_tcp_keepalive" [@@noalloc]

external tcp_info : (int[@untagged]) -> int_buffer -> (int[@untagged])
  = "soil_tcp_info_bytecode" "soil_tcp_info" [@@noalloc]

external tcp_abort : (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_abort_bytecode" "soil_tcp_abort" [@@noalloc]

external tcp_send_urgent : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_send_urgent_bytecode" "soil_tcp_send_urgent" [@@noalloc]

external tcp_urgent : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tcp_urgent_bytecode" "soil_tcp_urgent" [@@noalloc]

external tcp_lease : (int[@untagged]) -> bytes_buffer -> (int[@untagged])
  = "soil_tcp_lease_bytecode" "soil_tcp_lease" [@@noalloc]

external tcp_lease_end : (int[@untagged]) -> bytes_buffer -> (int[@untagged])
  = "soil_tcp_lease_end_bytecode" "soil_tcp_lease_end" [@@noalloc]

external tcp_send_shared :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tcp_send_shared_bytecode" "soil_tcp_send_shared" [@@noalloc]
