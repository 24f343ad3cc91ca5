(** Code shared by {!Tcp} and {!Bound}. Private to Soil. *)

let endpoint operation get (d : Descriptor.t) =
  let b = Bytes.create Address.endpoint_length in
  let result = get d.handle b in
  if result < 0 then Descriptor.fail d operation result;
  Address.endpoint_of_raw b

(** [peer d] is likewise the remote endpoint. *)
let peer = endpoint "peer address" (fun handle b -> Soil_raw_tcp.tcp_peer handle b)

(** [local d] is the local endpoint of [d]. *)
let local = endpoint "local address" (fun handle b -> Soil_raw_tcp.tcp_local handle b)

let keep_peer (d : Descriptor.t) =
  let b = Bytes.create Address.endpoint_length in
  if Soil_raw_tcp.tcp_peer d.handle b >= 0 then d.path <- Bytes.unsafe_to_string b

(* Messages about a connection that was closed still name its peer, which its path is then. *)
let describe (d : Descriptor.t) =
  if d.path = "" then keep_peer d;
  if d.path = "" then "tcp connection"
  else "tcp " ^ Address.endpoint_to_string (Address.endpoint_of_raw (Bytes.of_string d.path))

(* A signal's handler may raise where memory is taken. *)
let close d =
  match keep_peer d with
  | () -> Descriptor.close_handle d
  | exception e ->
      Descriptor.close_handle d;
      raise e

(** Input and output of connections. *)
let io = Descriptor.stream_io ~close describe

(* A listener's address as asked for, which is known also after it was closed. *)
let listener_io = Descriptor.no_io (fun d -> "tcp " ^ d.path)

(** [listener ~operation ~subject result] is the descriptor of a new listener at [subject]. *)
let listener ~operation ~subject result =
  let handle = Failure.check ~operation ~subject result in
  Descriptor.make ~path:subject listener_io handle

let () =
  let count () = Failure.check ~operation:"network" ~subject:"" (Soil_raw_net.net_interfaces ()) in
  Needed.interfaces := Some count

(** [backlog name n] is [n]. Raises [Invalid_argument] for function [name] if it is out of range. *)
let backlog name n =
  if n < 1 || n > 65535 then invalid_arg (name ^ ": backlog out of range");
  n

(* Options of the SYN *)

type options = {
  timestamps : bool;
  sack : bool;
  window_scaling : bool;
  pacing : bool;
  delayed_ack : float option;
  segment_size : int option;
}

let default_options =
  {
    timestamps = true;
    sack = true;
    window_scaling = true;
    pacing = true;
    delayed_ack = None;
    segment_size = None;
  }

(** [check_delayed_ack s] raises [Invalid_argument] if [s] is out of range. *)
let check_delayed_ack s =
  if not (s >= 0. && s < 0.5) then
    invalid_arg "Soil.Tcp: delay of acknowledgements not between 0 and 0.499"

(** [check_segment_size n] is likewise. *)
let check_segment_size n =
  if n < 88 || n > 65535 then invalid_arg "Soil.Tcp: segment size not between 88 and 65535"

let word o =
  let off place on = if on then 0 else 1 lsl place in
  Option.iter check_segment_size o.segment_size;
  Option.iter check_delayed_ack o.delayed_ack;
  let size = Option.value o.segment_size ~default:0 in
  let microseconds s = 1 + int_of_float ((s *. 1e6) +. 0.5) in
  let delay = Option.fold o.delayed_ack ~none:0 ~some:microseconds in
  off 18 o.timestamps lor off 19 o.sack lor off 20 o.window_scaling lor off 21 o.pacing
  lor (size lsl 24) lor (delay lsl 40)

(** [encode hop_limit dscp ecn options] encodes these for [soil_tcp_connect]. Raises
    [Invalid_argument] if one is out of range. *)
let encode hop_limit dscp ecn options =
  Marking.word hop_limit dscp ecn lor Option.fold options ~none:0 ~some:word

(* Connecting *)

let operation = "tcp connect"

(** [to_ e start] waits until the network is up, calls [start e], and waits for the connection to
    [e]. [start e] is the handle of the new connection, or its negative result. *)
let to_ (endpoint : Address.endpoint) start =
  let subject = Address.endpoint_to_string endpoint in
  if endpoint.port = 0 then invalid_arg "Soil.Tcp.connect: port 0";
  (* The loopback is there without any device. *)
  if not (Address.is_loopback endpoint.address) then
    ignore (Scheduler.operation ~operation ~subject (fun token -> Soil_raw_net.net_up token));
  let handle = Failure.check ~operation ~subject (start endpoint) in
  let d = Descriptor.make io handle in
  Descriptor.closed_on_failure d (fun () ->
      Descriptor.finish ~operation ~subject handle Soil_raw.park_write (fun handle ->
          Soil_raw_tcp.tcp_connected handle));
  d
