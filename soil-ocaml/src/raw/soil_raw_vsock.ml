(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

external vsock_cid : unit -> (int[@untagged])
  = "soil_vsock_cid_bytecode" "soil_vsock_cid" [@@noalloc]

external vsock_listen : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_vsock_listen_bytecode" "soil_vsock_listen" [@@noalloc]

external vsock_accept : (int[@untagged]) -> (int[@untagged])
  = "soil_vsock_accept_bytecode" "soil_vsock_accept" [@@noalloc]

external vsock_connect : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_vsock_connect_bytecode" "soil_vsock_connect" [@@noalloc]

external vsock_connected : (int[@untagged]) -> (int[@untagged])
  = "soil_vsock_connected_bytecode" "soil_vsock_connected" [@@noalloc]

external vsock_abort : (int[@untagged]) -> (int[@untagged])
  = "soil_vsock_abort_bytecode" "soil_vsock_abort" [@@noalloc]

external vsock_local : (int[@untagged]) -> bytes -> (int[@untagged])
  = "soil_vsock_local_bytecode" "soil_vsock_local" [@@noalloc]

external vsock_peer : (int[@untagged]) -> bytes -> (int[@untagged])
  = "soil_vsock_peer_bytecode" "soil_vsock_peer" [@@noalloc]
