let max_length = 65507
let io = Descriptor.no_io (fun d -> "udp " ^ d.path)

let bind ?(address = Address.any) ~port () =
  Address.check_port "Soil.Udp.bind" port;
  let endpoint = { Address.address; port } in
  let subject = Address.endpoint_to_string endpoint in
  let handle = Soil_raw_net.udp_bind (Address.endpoint_to_raw endpoint) in
  Descriptor.make ~path:subject io Udp (Failure.check ~operation:"udp bind" ~subject handle)

let rec try_send (d : Descriptor.t) endpoint raw b off len =
  let n = Soil_raw_net.udp_send d.handle raw b off len in
  if n >= 0 then Scheduler.spend ()
  else if n = Soil_raw.would_block then (
    Descriptor.retry d "send" Soil_raw.park_write n;
    try_send d endpoint raw b off len)
  else Failure.fail ~operation:"udp send" ~subject:(Address.endpoint_to_string endpoint) n

let send (d : Descriptor.t) endpoint b off len =
  Descriptor.need Udp d "send";
  Descriptor.check_bytes "Udp.send" b off len;
  try_send d endpoint (Address.endpoint_to_raw endpoint) b off len

let send_string d endpoint s =
  (* Only read, whatever its type says. *)
  send d endpoint (Bytes.unsafe_of_string s) 0 (String.length s)

let rec try_receive (d : Descriptor.t) from b off len =
  let n = Soil_raw_net.udp_receive d.handle from b off len in
  if n >= 0 then (
    Scheduler.spend ();
    n)
  else (
    Descriptor.retry d "receive" Soil_raw.park_read n;
    try_receive d from b off len)

let receive (d : Descriptor.t) b off len =
  Descriptor.need Udp d "receive";
  Descriptor.check_bytes "Udp.receive" b off len;
  let from = Bytes.create Address.endpoint_length in
  let n = try_receive d from b off len in
  (n, Address.endpoint_of_raw from)

let local d =
  Descriptor.need Udp d "local address";
  Tcp.local d
