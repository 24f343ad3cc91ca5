let check operation result = Failure.check ~operation ~subject:"" result
let network_to_string (address, length) = Address.to_string address ^ "/" ^ string_of_int length
let separated l = String.concat "," l

let add_vlan ?(addresses = []) ?(gateways = []) ~interface id =
  let addresses = separated (List.map network_to_string addresses) in
  let gateways = separated (List.map Address.to_string gateways) in
  check "add VLAN" (Soil_raw_net.net_vlan interface id addresses gateways)

type route = { network : Address.t; length : int; interface : int; gateway : Address.t option }

let route_of_string line =
  match String.split_on_char ' ' line with
  | [ network; interface; gateway ] -> (
      match String.split_on_char '/' network with
      | [ network; length ] -> (
          match
            (Address.of_string_opt network, int_of_string_opt length, int_of_string_opt interface)
          with
          | Some network, Some length, Some interface ->
              Some { network; length; interface; gateway = Address.of_string_opt gateway }
          | _ -> None)
      | _ -> None)
  | _ -> None

let routes () =
  let table = Text.fetch (check "routes") (fun b off len -> Soil_raw_net.net_routes b off len) in
  List.filter_map route_of_string (String.split_on_char '\n' table)

let change operation add interface network gateway =
  ignore
    (Failure.check ~operation ~subject:network
       (Soil_raw_net.net_route add network interface gateway))

let add_route ?gateway ~interface network =
  let gateway = match gateway with None -> "" | Some a -> Address.to_string a in
  change "add route" 1 interface (network_to_string network) gateway

let remove_route ~interface network =
  change "remove route" 0 interface (network_to_string network) ""
