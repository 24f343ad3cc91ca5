open Soil.Net

let address =
  let expected = "an address such as 192.0.2.1 or 2001:db8::1" in
  Converter.v ~docv:"ADDRESS" ~expected Address.of_string_opt Address.to_string

let endpoint =
  let expected = "an address and a port such as 192.0.2.1:80" in
  Converter.v ~docv:"ADDRESS:PORT" ~expected Endpoint.of_string_opt Endpoint.to_string

let prefix =
  let expected = "a network such as 10.0.0.0/8" in
  Converter.v ~docv:"ADDRESS/LENGTH" ~expected Prefix.of_string_opt Prefix.to_string

let mac =
  let expected = "an address of Ethernet such as 52:54:00:12:34:56" in
  Converter.v ~docv:"MAC" ~expected Mac.of_string_opt Mac.to_string
