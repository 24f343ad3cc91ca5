open Typed

type socket = [ `Udp ] File_descriptor.t

let max_length = 65507
let io = Descriptor.no_io (fun d -> "udp " ^ d.path)

let bind ?(address = Address.any) ?hop_limit ?dscp ~port () =
  Address.check_port "Soil.Udp.bind" port;
  Marking.given hop_limit dscp;
  let endpoint = { Address.address; port } in
  let subject = Address.endpoint_to_string endpoint in
  let handle = Soil_raw_udp.udp_bind (Address.endpoint_to_raw endpoint) in
  let handle = Failure.check ~operation:"udp bind" ~subject handle in
  let d = Descriptor.make ~path:subject io handle in
  Marking.apply hop_limit dscp d;
  typed d

let rec try_send raw_send (d : Descriptor.t) endpoint raw b off len =
  Scheduler.spend ();
  let n = raw_send d.handle raw b off len in
  if n = Soil_raw.would_block then (
    Descriptor.retry d "send" Soil_raw.park_write n;
    try_send raw_send d endpoint raw b off len)
  else if n < 0 then
    Failure.fail ~operation:"udp send" ~subject:(Address.endpoint_to_string endpoint) n
  else ignore (Scheduler.at_once "send" n)

let send ?timeout d endpoint b off len =
  Descriptor.check_bytes "Udp.send" b off len;
  let raw = Address.endpoint_to_raw endpoint in
  Deadline.within timeout (fun () -> try_send Soil_raw_udp.udp_send (any d) endpoint raw b off len)

let send_string ?timeout d endpoint s =
  (* Only read, whatever its type says. *)
  send ?timeout d endpoint (Bytes.unsafe_of_string s) 0 (String.length s)

let try_receive raw_receive (d : Descriptor.t) from b off len =
  let receive () = raw_receive d.handle from b off len in
  Descriptor.attempt d "receive" Soil_raw.park_read receive

let receive_now d b off len =
  Descriptor.check_bytes "Udp.receive" b off len;
  let from = Bytes.create Address.endpoint_length in
  let n = try_receive Soil_raw_udp.udp_receive d from b off len in
  (n, Address.endpoint_of_raw from)

let receive ?timeout d b off len = Deadline.within timeout (fun () -> receive_now (any d) b off len)

type source = { address : Address.t; interface : int option }
type datagram = { length : int; peer : Address.endpoint; destination : Address.t; local : source }

(* The number of an interface that has none, in the place of an endpoint's port. *)
let no_interface = 0xffff

let receive_to_now d b off len =
  Descriptor.check_bytes "Udp.receive_to" b off len;
  let raw = Bytes.create 52 in
  let length = try_receive Soil_raw_udp.udp_receive_to d raw b off len in
  let endpoint at = Address.endpoint_of_raw (Bytes.sub raw at Address.endpoint_length) in
  let { Address.address; port } = endpoint 34 in
  let interface = if port = no_interface then None else Some port in
  let destination = (endpoint 18).address in
  { length; peer = endpoint 0; destination; local = { address; interface } }

let receive_to ?timeout d b off len =
  Deadline.within timeout (fun () -> receive_to_now (any d) b off len)

let route endpoint { address; interface } =
  let number = match interface with None -> no_interface | Some i -> i in
  if number < 0 || number > no_interface then invalid_arg "Soil.Udp.send_from: interface";
  Address.endpoint_to_raw endpoint ^ Address.endpoint_to_raw { address; port = number }

let send_from ?timeout ~from d endpoint b off len =
  Descriptor.check_bytes "Udp.send_from" b off len;
  let raw = route endpoint from in
  Deadline.within timeout (fun () ->
      try_send Soil_raw_udp.udp_send_from (any d) endpoint raw b off len)

let local d = Connection.local (any d)
let set_hop_limit d n = Marking.set_hop_limit (any d) n
let set_dscp d n = Marking.set_dscp (any d) n

let check (d : Descriptor.t) operation result =
  if result < 0 then Failure.fail ~operation:("udp " ^ operation) ~subject:d.path result

let connect d peer =
  let d = any d in
  let peer =
    match peer with
    | None -> { Address.address = Address.any; port = 0 }
    | Some { Address.port = 0; _ } -> invalid_arg "Soil.Udp.connect: port 0"
    | Some peer -> peer
  in
  check d "connect" (Soil_raw_udp.udp_connect d.handle (Address.endpoint_to_raw peer))

let group operation join d ~interface address =
  let d = any d in
  let interface = Option.value interface ~default:(-1) in
  check d operation (Soil_raw_udp.udp_group d.handle (Address.to_raw address) interface join)

let join ?interface d address = group "join" 1 d ~interface address
let leave ?interface d address = group "leave" 0 d ~interface address

let set_multicast_hops d hops =
  let d = any d in
  if hops < 0 || hops > 255 then invalid_arg "Soil.Udp.set_multicast_hops: not 0 to 255";
  check d "set_multicast_hops" (Soil_raw_udp.udp_multicast_hops d.handle hops)

(* The buffer of a batch: datagram [i] has the bytes from [i * slot]. *)
let check_batch operation buffer ~slot count =
  if slot < 1 || count < 1 || count > Bigarray.Array1.dim buffer / slot then
    invalid_arg ("Soil.Udp." ^ operation ^ ": the buffer is too small")

let receive_batch ?timeout d buffer ~slot count =
  let d = any d in
  check_batch "receive_batch" buffer ~slot count;
  let endpoints = Bytes.create (Address.endpoint_length * count) in
  let lengths = Scheduler.create_ints count in
  let receive () = Soil_raw_udp.udp_receive_batch d.handle buffer slot endpoints lengths in
  let wait () = Descriptor.attempt d "receive" Soil_raw.park_read receive in
  let from i =
    Address.endpoint_of_raw
      (Bytes.sub endpoints (Address.endpoint_length * i) Address.endpoint_length)
  in
  List.init (Deadline.within timeout wait) (fun i -> (lengths.{i}, from i))

let send_batch ?timeout d buffer ~slot datagrams =
  let d = any d in
  let count = List.length datagrams in
  check_batch "send_batch" buffer ~slot count;
  let endpoints = Buffer.create (Address.endpoint_length * count) in
  let lengths = Scheduler.create_ints count in
  let add i (length, endpoint) =
    if length < 0 || length > slot then invalid_arg "Soil.Udp.send_batch: longer than its slot";
    lengths.{i} <- length;
    Buffer.add_string endpoints (Address.endpoint_to_raw endpoint)
  in
  List.iteri add datagrams;
  let endpoints = Buffer.contents endpoints in
  let send () = Soil_raw_udp.udp_send_batch d.handle buffer slot endpoints lengths in
  Deadline.within timeout (fun () -> Descriptor.attempt d "send" Soil_raw.park_write send)
