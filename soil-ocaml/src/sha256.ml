let length = 32

(* Their only error is a shorter buffer. *)
let digest data =
  let into = Bytes.create length in
  ignore (Soil_raw_sha256.sha256 data into);
  Bytes.unsafe_to_string into

let hmac ~key data =
  let into = Bytes.create length in
  ignore (Soil_raw_sha256.hmac_sha256 key data into);
  Bytes.unsafe_to_string into

let equal a b =
  String.length a = String.length b
  &&
  let difference = ref 0 in
  for i = 0 to String.length a - 1 do
    difference := !difference lor (Char.code a.[i] lxor Char.code b.[i])
  done;
  !difference = 0
