(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external tcp_bind :
  string ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_tcp_bind"
[@@noalloc]
(** Takes [endpoint] (address zero: every address; port 0: one is chosen) for
    [soil_tcp_listen_bound] or [soil_tcp_connect_bound] and returns a descriptor of the kind of
    listeners. [how] is as in [soil_tcp_connect]. A SYN to it is refused. Errors: as for
    [soil_tcp_listen]. *)

external tcp_listen_bound :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_tcp_listen_bound"
[@@noalloc]
(** Listens at what was bound, keeping up to [backlog] connections that nobody has accepted. Errors:
    [Wrong_kind], [Closed]. *)

external tcp_connect_bound :
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_tcp_connect_bound"
[@@noalloc]
(** Starts a connection from what was bound, whose descriptor is closed unless this fails; returns
    the connection's, as [soil_tcp_connect] does. Errors: those, and [Wrong_kind] for one that
    listens. *)
