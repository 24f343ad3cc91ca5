(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external statistics :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_statistics_bytecode" "soil_statistics"
[@@noalloc]
(** Copies what the parts that are in use have counted to [into\[off .. off + len\]], cut where it
    doesn't fit, and returns its whole length. Lines of words: [net NAME VALUE]; [socket PROTOCOL
    STATE NUMBER], the state [-] for UDP; [disk REQUESTS NAME] for each disk in use; and for each
    volume that is open [volume HEALTH TOTAL AVAILABLE HITS MISSES DIRTY READ_AHEAD POINT], sizes in
    bytes. [HEALTH] is [writable], [unflushed], [read-only], [corrupt] or, with sizes of 0, [busy].
    Nothing is started by asking. *)
