let endpoint_with get (d : Descriptor.t) =
  let b = Bytes.create Address.endpoint_length in
  let result = get d.handle b in
  if result < 0 then Error result else Ok (Address.endpoint_of_raw b)

let peer = endpoint_with (fun handle b -> Soil_raw_tcp.tcp_peer handle b)
let local = endpoint_with (fun handle b -> Soil_raw_tcp.tcp_local handle b)

(* Messages about a connection that was closed still name its peer, which its path is then. *)

let describe (d : Descriptor.t) =
  let peer =
    if d.path = "" then peer d else Ok (Address.endpoint_of_raw (Bytes.unsafe_of_string d.path))
  in
  match peer with Ok e -> "tcp " ^ Address.endpoint_to_string e | Error _ -> "tcp connection"

let keep_peer (d : Descriptor.t) =
  let b = Bytes.create Address.endpoint_length in
  if Soil_raw_tcp.tcp_peer d.handle b >= 0 then d.path <- Bytes.unsafe_to_string b

(* A signal's handler may raise where memory is taken. *)
let close d =
  match keep_peer d with
  | () -> Descriptor.close_handle d
  | exception e ->
      Descriptor.close_handle d;
      raise e

let io = Descriptor.stream_io ~close describe

(* A listener's address as asked for, which is known also after it was closed. *)
let listener_io = Descriptor.no_io (fun d -> "tcp " ^ d.path)

let listener ~operation ~subject result =
  let handle = Failure.check ~operation ~subject result in
  Descriptor.make ~path:subject listener_io handle

let () =
  let count () = Failure.check ~operation:"network" ~subject:"" (Soil_raw_net.net_interfaces ()) in
  Needed.interfaces := Some count

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

let check_delayed_ack s =
  if not (s >= 0. && s < 0.5) then
    invalid_arg "Soil.Tcp: delay of acknowledgements not between 0 and 0.499"

let check_segment_size n =
  if n < 88 || n > 65535 then invalid_arg "Soil.Tcp: segment size not between 88 and 65535"

let word o =
  let off place on = if on then 0 else 1 lsl place in
  let size =
    match o.segment_size with
    | None -> 0
    | Some n ->
        check_segment_size n;
        n
  in
  let delay =
    match o.delayed_ack with
    | None -> 0
    | Some s ->
        check_delayed_ack s;
        1 + int_of_float ((s *. 1e6) +. 0.5)
  in
  off 18 o.timestamps lor off 19 o.sack lor off 20 o.window_scaling lor off 21 o.pacing
  lor (size lsl 24) lor (delay lsl 40)

let encode hop_limit dscp ecn options =
  let chosen = match options with None -> 0 | Some o -> word o in
  Marking.word hop_limit dscp ecn lor chosen

(* Connecting *)

let operation = "tcp connect"

let rec finish (d : Descriptor.t) subject =
  let result = Soil_raw_tcp.tcp_connected d.handle in
  if result = Soil_raw.would_block then (
    let result = Scheduler.wait_ready d.handle Soil_raw.park_write in
    ignore (Failure.check ~operation ~subject result);
    finish d subject)
  else ignore (Failure.check ~operation ~subject result)

let to_ (endpoint : Address.endpoint) start =
  let subject = Address.endpoint_to_string endpoint in
  if endpoint.port = 0 then invalid_arg "Soil.Tcp.connect: port 0";
  (* The loopback is there without any device. *)
  if not (Address.is_loopback endpoint.address) then
    ignore (Scheduler.operation ~operation ~subject (fun token -> Soil_raw_net.net_up token));
  let handle = Failure.check ~operation ~subject (start endpoint) in
  let d = Descriptor.make io handle in
  Descriptor.closed_on_failure d (fun () -> finish d subject);
  d
