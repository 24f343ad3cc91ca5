type ('req, 'resp, 'kind) t = {
  service : string;
  name : string;
  request : 'req Codec.t;
  response : 'resp Codec.t;
}

type unary = [ `Unary ]
type client_stream = [ `Client_stream ]
type server_stream = [ `Server_stream ]
type two_way = [ `Two_way ]

let is_word = function 'a' .. 'z' | 'A' .. 'Z' | '0' .. '9' | '_' -> true | _ -> false

let make ~service name request response =
  let check what is s =
    if s = "" || not (String.for_all is s) then
      invalid_arg (Printf.sprintf "Soil_grpc.Method: not the name of a %s: %S" what s)
  in
  check "service" (fun c -> is_word c || c = '.') service;
  check "method" is_word name;
  { service; name; request; response }

let unary = make
let client_stream = make
let server_stream = make
let two_way = make
let path m = "/" ^ m.service ^ "/" ^ m.name
