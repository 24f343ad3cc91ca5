(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external mdns_start :
  string ->
  (int[@untagged])
  = "soil_mdns_start_bytecode" "soil_mdns_start"
[@@noalloc]
(** Answers for [name].local, or for the value of [SOIL_MDNS] if [name] is empty, on all links from
    now on; returns 1, or 0 if both are empty. The first name stays. Errors: [Invalid_name], with a
    detail; [Bad_configuration]. *)

external mdns_name :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_mdns_name_bytecode" "soil_mdns_name"
[@@noalloc]
(** Copies the name, such as [soil-2.local], to [into\[off .. off + len\]], cut where it doesn't
    fit, and returns its whole length; 0 as long as it isn't known to be this machine's alone. *)
