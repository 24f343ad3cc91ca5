type address = Address.t

let v4 = Address.v4
let any = Address.any
let any_v4 = Address.any_v4
let loopback = Address.loopback

type endpoint = Address.endpoint = { address : address; port : int }

let endpoint address port =
  Address.check_port "Soil.Net.endpoint" port;
  { address; port }

type prefix = address * int
type mac = Mac.t

type interface = {
  name : string;
  mac : mac;
  mtu : int;
  addresses : prefix list;
  gateway : address option;
  name_servers : address list;
}

let prefix_of_string s =
  let address, length = Text.cut '/' s in
  match (Address.of_string_opt address, int_of_string_opt length) with
  | Some a, Some n -> Some (a, n)
  | _ -> None

let interface_of_string text =
  let lines = List.map (Text.cut '=') (String.split_on_char '\n' text) in
  let values key = List.filter_map (fun (k, v) -> if k = key then Some v else None) lines in
  let value key = match values key with v :: _ -> v | [] -> "" in
  let addresses key = List.filter_map Address.of_string_opt (values key) in
  {
    name = value "name";
    mac = Mac.of_text (value "mac");
    mtu = (match int_of_string_opt (value "mtu") with Some n -> n | None -> 0);
    addresses = List.filter_map prefix_of_string (values "address");
    gateway = (match addresses "gateway" with a :: _ -> Some a | [] -> None);
    name_servers = addresses "dns";
  }

let check result = Failure.check ~operation:"network" ~subject:"" result

let interfaces () =
  let description i = Text.fetch check (Soil_raw_net.net_interface i) in
  List.init (check (Soil_raw_net.net_interfaces ())) (fun i -> interface_of_string (description i))

let wait_up ?timeout () =
  let submit token = Soil_raw_net.net_up token in
  let wait () = ignore (Scheduler.operation ~operation:"network" ~subject:"" submit) in
  Deadline.within timeout wait

type connection = {
  protocol : [ `Tcp | `Udp ];
  local : endpoint;
  remote : endpoint option;
  state : string;
  unread : int;
  unsent : int;
}

let connection_of_string line =
  let number text = match int_of_string_opt text with Some n -> n | None -> 0 in
  match String.split_on_char ' ' line with
  | [ protocol; local; remote; state; unread; unsent ] -> (
      let connection local =
        {
          protocol = (if protocol = "udp" then `Udp else `Tcp);
          local;
          remote = Address.endpoint_of_string_opt remote;
          state = (if state = "-" then "" else state);
          unread = number unread;
          unsent = number unsent;
        }
      in
      match Address.endpoint_of_string_opt local with
      | Some local -> Some (connection local)
      | None -> None)
  | _ -> None

let lines get = String.split_on_char '\n' (Text.fetch check get)

let connections () =
  let table = lines (fun b off len -> Soil_raw_net.net_connections b off len) in
  List.filter_map connection_of_string table

let statistics () =
  let counter line =
    let name, value = Text.cut '=' line in
    match int_of_string_opt value with Some n -> Some (name, n) | None -> None
  in
  List.filter_map counter (lines (fun b off len -> Soil_raw_net.net_statistics b off len))

let filter rules =
  let result = Soil_raw_net.net_filter (String.concat "\n" rules) in
  ignore (Failure.check ~operation:"packet filter" ~subject:"" result)

module Address = Net_address
module Endpoint = Net_endpoint
module Prefix = Net_prefix
module Mac = Net_mac
