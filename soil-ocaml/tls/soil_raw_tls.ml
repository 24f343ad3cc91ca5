(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t

external tls_credentials : unit -> (int[@untagged])
  = "soil_tls_credentials_bytecode" "soil_tls_credentials" [@@noalloc]

external tls_credentials_add : (int[@untagged]) -> string -> string -> (int[@untagged])
  = "soil_tls_credentials_add_bytecode" "soil_tls_credentials_add" [@@noalloc]

external tls_credentials_apply : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_credentials_apply_bytecode" "soil_tls_credentials_apply" [@@noalloc]

external tls_options : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_options_bytecode" "soil_tls_options" [@@noalloc]

external tls_trust : (int[@untagged]) -> string -> (int[@untagged])
  = "soil_tls_trust_bytecode" "soil_tls_trust" [@@noalloc]

external tls_revoke : (int[@untagged]) -> string -> (int[@untagged])
  = "soil_tls_revoke_bytecode" "soil_tls_revoke" [@@noalloc]

external tls_protocol : (int[@untagged]) -> string -> (int[@untagged])
  = "soil_tls_protocol_bytecode" "soil_tls_protocol" [@@noalloc]

external tls_client :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tls_client_bytecode" "soil_tls_client" [@@noalloc]

external tls_server :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_server_bytecode" "soil_tls_server" [@@noalloc]

external tls_key_log :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tls_key_log_bytecode" "soil_tls_key_log" [@@noalloc]

external tls_connect : (int[@untagged]) -> string -> (int[@untagged])
  = "soil_tls_connect_bytecode" "soil_tls_connect" [@@noalloc]

external tls_accept : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_accept_bytecode" "soil_tls_accept" [@@noalloc]

external tls_handshake : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_handshake_bytecode" "soil_tls_handshake" [@@noalloc]

external tls_refused : unit -> (int[@untagged])
  = "soil_tls_refused_bytecode" "soil_tls_refused" [@@noalloc]

external tls_feed :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tls_feed_bytecode" "soil_tls_feed" [@@noalloc]

external tls_end_of_input : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_end_of_input_bytecode" "soil_tls_end_of_input" [@@noalloc]

external tls_take :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tls_take_bytecode" "soil_tls_take" [@@noalloc]

external tls_pending : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_pending_bytecode" "soil_tls_pending" [@@noalloc]

external tls_read :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tls_read_bytecode" "soil_tls_read" [@@noalloc]

external tls_read_into :
  (int[@untagged]) -> bytes_buffer -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_tls_read_into_bytecode" "soil_tls_read_into" [@@noalloc]

external tls_write :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_write_bytecode" "soil_tls_write" [@@noalloc]

external tls_write_from :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_write_from_bytecode" "soil_tls_write_from" [@@noalloc]

external tls_close_notify : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_close_notify_bytecode" "soil_tls_close_notify" [@@noalloc]

external tls_update_keys : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_update_keys_bytecode" "soil_tls_update_keys" [@@noalloc]

external tls_fact :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_fact_bytecode" "soil_tls_fact" [@@noalloc]

external tls_peer_certificate :
  (int[@untagged]) ->
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_tls_peer_certificate_bytecode" "soil_tls_peer_certificate" [@@noalloc]

external tls_free : (int[@untagged]) -> (int[@untagged])
  = "soil_tls_free_bytecode" "soil_tls_free" [@@noalloc]
