(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external dns_query :
  string ->
  (int[@untagged]) ->
  Soil_raw.bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_needs_native_code" "soil_dns_query"
[@@noalloc]
(** Looks records of [name] up whose type has the number [kind] (1 A, 5 CNAME, 12 PTR, 16 TXT, 28
    AAAA, 33 SRV) and writes as many as fit to [results]; the result is the number of bytes. Each
    record is its time to live in seconds (4 bytes, the highest first), the length of what follows
    (2 bytes), and: the 16 bytes of an address; a name as text; priority, weight and port (2 bytes
    each) and a name; or strings with a byte before each that says its length. Usually [PENDING].
    Errors: as [soil_dns_lookup]. *)
