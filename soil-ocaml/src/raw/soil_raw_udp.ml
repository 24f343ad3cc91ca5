(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external udp_bind : string -> (int[@untagged])
  = "soil_udp_bind_bytecode" "soil_udp_bind" [@@noalloc]

external udp_send :
  (int[@untagged]) -> string -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_udp_send_bytecode" "soil_udp_send" [@@noalloc]

external udp_receive :
  (int[@untagged]) -> bytes -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_udp_receive_bytecode" "soil_udp_receive" [@@noalloc]

external udp_receive_to :
  (int[@untagged]) -> bytes -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_udp_receive_to_bytecode" "soil_udp_receive_to" [@@noalloc]

external udp_send_from :
  (int[@untagged]) -> string -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_udp_send_from_bytecode" "soil_udp_send_from" [@@noalloc]

external udp_connect : (int[@untagged]) -> string -> (int[@untagged])
  = "soil_udp_connect_bytecode" "soil_udp_connect" [@@noalloc]

external udp_group :
  (int[@untagged]) -> string -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_udp_group_bytecode" "soil_udp_group" [@@noalloc]

external udp_multicast_hops : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_udp_multicast_hops_bytecode" "soil_udp_multicast_hops" [@@noalloc]

external udp_receive_batch :
  (int[@untagged]) -> bytes_buffer -> (int[@untagged]) -> bytes -> int_buffer -> (int[@untagged])
  = "soil_udp_receive_batch_bytecode" "soil_udp_receive_batch" [@@noalloc]

external udp_send_batch :
  (int[@untagged]) -> bytes_buffer -> (int[@untagged]) -> string -> int_buffer -> (int[@untagged])
  = "soil_udp_send_batch_bytecode" "soil_udp_send_batch" [@@noalloc]
