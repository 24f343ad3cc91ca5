let of_address a = Ipaddr.of_octets_exn (Soil.Net.Address.to_octets a)
let to_address a = Soil.Net.Address.of_octets (Ipaddr.to_octets a)
let of_endpoint (e : Soil.Net.endpoint) = (of_address e.address, e.port)
let to_endpoint (address, port) = Soil.Net.endpoint (to_address address) port

let of_prefix (address, length) =
  let too_long = "Soil_ipaddr.of_prefix: the prefix is longer than the address" in
  let largest = if Soil.Net.Address.is_v4 address then 32 else 128 in
  if length < 0 || length > largest then invalid_arg too_long;
  match of_address address with
  | V4 a -> Ipaddr.V4 (Ipaddr.V4.Prefix.make length a)
  | V6 a -> Ipaddr.V6 (Ipaddr.V6.Prefix.make length a)
