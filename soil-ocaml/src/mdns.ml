let announce ?(name = "") () =
  Failure.check ~operation:"mdns" ~subject:name (Soil_raw_mdns.mdns_start name) = 1

let name () =
  let b = Bytes.create 255 in
  match Soil_raw_mdns.mdns_name b 0 255 with
  | n when n > 0 -> Some (Bytes.sub_string b 0 n)
  | _ -> None
