let check name n most = if n < 0 || n > most then invalid_arg ("Soil: " ^ name ^ " out of range")

(* 0 would be the usual one. *)
let check_hop_limit n = check "hop limit" (n - 1) 254
let check_dscp n = check "DSCP" n 63

let set (d : Descriptor.t) operation what value =
  let result = Soil_raw_net.net_mark d.handle what value in
  if result < 0 then Descriptor.fail d operation result

let set_hop_limit d n =
  check_hop_limit n;
  set d "set_hop_limit" Soil_raw.mark_hop_limit n

let set_dscp d n =
  check_dscp n;
  set d "set_dscp" Soil_raw.mark_dscp n

let given hop_limit dscp =
  (match hop_limit with None -> () | Some n -> check_hop_limit n);
  match dscp with None -> () | Some n -> check_dscp n

let apply hop_limit dscp d =
  (match hop_limit with None -> () | Some n -> set_hop_limit d n);
  match dscp with None -> () | Some n -> set_dscp d n

let word hop_limit dscp ecn =
  given hop_limit dscp;
  let number = function None -> 0 | Some n -> n in
  let ecn = match ecn with None -> 0 | Some false -> 1 | Some true -> 2 in
  number hop_limit lor (number dscp lsl 8) lor (ecn lsl 16)
