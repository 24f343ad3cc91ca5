open Typed

type connection = [ `Read | `Write | `Shutdown | `Tcp | `Connection ] File_descriptor.t
type listener = [ `Tcp | `Listener ] File_descriptor.t

let listen ?(backlog = 1024) ?(address = Address.any) ?hop_limit ?dscp ?options ~port () =
  Address.check_port "Soil.Tcp.listen" port;
  let backlog = Connection.backlog "Soil.Tcp.listen" backlog in
  let endpoint = { Address.address; port } in
  let subject = Address.endpoint_to_string endpoint in
  let parameters = Connection.encode hop_limit dscp None options in
  let result = Soil_raw_tcp.tcp_listen (Address.endpoint_to_raw endpoint) backlog parameters in
  typed (Connection.listener ~operation:"tcp listen" ~subject result)

(* [full l] is called before each wait for a connection. *)
let accept_next full (l : Descriptor.t) =
  let accept () =
    let handle = Soil_raw_tcp.tcp_accept l.handle in
    if handle < 0 then full l;
    handle
  in
  Descriptor.make Connection.io (Descriptor.attempt l "accept" Soil_raw.park_read accept)

let accept ?timeout l = typed (Deadline.within timeout (fun () -> accept_next ignore (any l)))
let local d = Connection.local (any d)
let peer c = Connection.peer (any c)

let abort c =
  let d = any c in
  if d.is_open then (
    ignore (Soil_raw_tcp.tcp_abort d.handle);
    Descriptor.close d)

let check_connection d operation result = if result < 0 then Descriptor.fail d operation result

let set operation c option value =
  let d = any c in
  check_connection d operation (Soil_raw_tcp.tcp_set d.handle option value)

let set_switch name d option on = set name d option (Bool.to_int on)
let set_nodelay d on = set_switch "set_nodelay" d Soil_raw.option_nodelay on

let nanoseconds name s =
  if s > 0. && s < 1e9 then int_of_float (s *. 1e9)
  else invalid_arg ("Soil.Tcp." ^ name ^ ": not a positive time")

(* 0 stands for never. *)
let set_time name d option = function
  | None -> set name d option 0
  | Some s -> set name d option (nanoseconds name s)

let keepalive ?interval ?(count = 4) c idle =
  if count < 1 || count > 255 then invalid_arg "Soil.Tcp.keepalive: count out of range";
  let time = function None -> 0 | Some s -> nanoseconds "keepalive" s in
  let idle = time idle in
  let interval = match interval with None -> max 1 idle | interval -> time interval in
  let d = any c in
  check_connection d "keepalive" (Soil_raw_tcp.tcp_keepalive d.handle idle interval count)

let set_user_timeout d timeout = set_time "set_user_timeout" d Soil_raw.option_user_timeout timeout

let set_linger d s =
  set "set_linger" d Soil_raw.option_linger (if s = 0. then 0 else nanoseconds "set_linger" s)

type congestion = Cubic | New_reno

let set_congestion d congestion =
  set "set_congestion" d Soil_raw.option_congestion
    (match congestion with Cubic -> 0 | New_reno -> 1)

let set_size name d option n =
  if n <= 0 then invalid_arg ("Soil.Tcp." ^ name ^ ": not a positive size");
  set name d option n

let set_send_buffer d n = set_size "set_send_buffer" d Soil_raw.option_send_buffer n
let set_receive_buffer d n = set_size "set_receive_buffer" d Soil_raw.option_receive_buffer n

type options = Connection.options = {
  timestamps : bool;
  sack : bool;
  window_scaling : bool;
  pacing : bool;
  delayed_ack : float option;
  segment_size : int option;
}

let default_options = Connection.default_options
let set_hop_limit d n = Marking.set_hop_limit (any d) n
let set_dscp d n = Marking.set_dscp (any d) n
let set_timestamps d on = set_switch "set_timestamps" d Soil_raw.option_timestamps on
let set_sack d on = set_switch "set_sack" d Soil_raw.option_sack on
let set_window_scaling d on = set_switch "set_window_scaling" d Soil_raw.option_window_scaling on
let set_pacing d on = set_switch "set_pacing" d Soil_raw.option_pacing on

let set_delayed_ack d s =
  Connection.check_delayed_ack s;
  set "set_delayed_ack" d Soil_raw.option_delayed_ack (int_of_float (s *. 1e9))

let set_segment_size d n =
  Connection.check_segment_size n;
  set "set_segment_size" d Soil_raw.option_mss n

type phase = Open | Recovery | Loss

type info = {
  rtt : float;
  rtt_variation : float;
  rtt_min : float;
  retransmission_timeout : float;
  segment_size : int;
  congestion_window : int;
  slow_start_threshold : int option;
  send_window : int;
  receive_window : int;
  in_flight : int;
  unacknowledged : int;
  unread : int;
  out_of_order : int;
  retransmitted : int;
  timeouts : int;
  phase : phase;
  sacked : int;
  lost : int;
  reordering : bool;
  peer_segment_size : int;
  path_mtu : int;
  timestamps : bool;
  sack : bool;
  ecn : bool;
  window_scales : (int * int) option;
  loss_probes : int;
  spurious_recoveries : int;
  bytes_acknowledged : int;
  bytes_received : int;
}

let info c =
  let d = any c in
  let record = Scheduler.create_ints Soil_raw.tcp_info_length in
  check_connection d "info" (Soil_raw_tcp.tcp_info d.handle record);
  let seconds field = float_of_int (Soil_raw.tcp_info record field) *. 1e-9 in
  {
    rtt = seconds Rtt;
    rtt_variation = seconds Rtt_variation;
    rtt_min = seconds Rtt_min;
    retransmission_timeout = seconds Retransmission_timeout;
    segment_size = Soil_raw.tcp_info record Segment_size;
    congestion_window = Soil_raw.tcp_info record Congestion_window;
    slow_start_threshold =
      (match Soil_raw.tcp_info record Slow_start_threshold with
      | 0xffff_ffff -> None
      | bytes -> Some bytes);
    send_window = Soil_raw.tcp_info record Send_window;
    receive_window = Soil_raw.tcp_info record Receive_window;
    in_flight = Soil_raw.tcp_info record In_flight;
    unacknowledged = Soil_raw.tcp_info record Unacknowledged;
    unread = Soil_raw.tcp_info record Unread + Descriptor.given_back d;
    out_of_order = Soil_raw.tcp_info record Out_of_order;
    retransmitted = Soil_raw.tcp_info record Retransmitted;
    timeouts = Soil_raw.tcp_info record Timeouts;
    phase = (match Soil_raw.tcp_info record Phase with 0 -> Open | 1 -> Recovery | _ -> Loss);
    sacked = Soil_raw.tcp_info record Sacked;
    lost = Soil_raw.tcp_info record Lost;
    reordering = Soil_raw.tcp_info record Reordering <> 0;
    peer_segment_size = Soil_raw.tcp_info record Peer_segment_size;
    path_mtu = Soil_raw.tcp_info record Path_mtu;
    timestamps = Soil_raw.tcp_info record Timestamps <> 0;
    sack = Soil_raw.tcp_info record Sack <> 0;
    ecn = Soil_raw.tcp_info record Ecn <> 0;
    window_scales =
      (if Soil_raw.tcp_info record Window_scaling = 0 then None
       else
         let own = Soil_raw.tcp_info record Own_window_shift in
         Some (own, Soil_raw.tcp_info record Peer_window_shift));
    loss_probes = Soil_raw.tcp_info record Loss_probes;
    spurious_recoveries = Soil_raw.tcp_info record Spurious_recoveries;
    bytes_acknowledged = Soil_raw.tcp_info record Bytes_acknowledged;
    bytes_received = Soil_raw.tcp_info record Bytes_received;
  }

(* Clients *)

let connect ?timeout ?nodelay ?keepalive:idle ?user_timeout ?linger ?congestion ?send_buffer
    ?receive_buffer ?hop_limit ?dscp ?ecn ?options endpoint =
  let parameters = Connection.encode hop_limit dscp ecn options in
  let start endpoint = Soil_raw_tcp.tcp_connect (Address.endpoint_to_raw endpoint) parameters in
  let c : connection = typed (Deadline.within timeout (fun () -> Connection.to_ endpoint start)) in
  Descriptor.closed_on_failure (any c) (fun () ->
      Option.iter (set_nodelay c) nodelay;
      if idle <> None then keepalive c idle;
      if user_timeout <> None then set_user_timeout c user_timeout;
      Option.iter (set_linger c) linger;
      Option.iter (set_congestion c) congestion;
      Option.iter (set_send_buffer c) send_buffer;
      Option.iter (set_receive_buffer c) receive_buffer);
  c

let connect_host ?(timeout = 10.) ?nodelay ?keepalive ?user_timeout ?linger ?congestion ?send_buffer
    ?receive_buffer ?hop_limit ?dscp ?ecn ?options name ~port =
  Address.check_port "Soil.Tcp.connect_host" port;
  let connect address =
    connect ?nodelay ?keepalive ?user_timeout ?linger ?congestion ?send_buffer ?receive_buffer
      ?hop_limit ?dscp ?ecn ?options { Address.address; port }
  in
  Eyeballs.connect ~connect ~close:File_descriptor.close ~timeout name

let with_connection ?timeout ?options endpoint f =
  File_descriptor.with_close (connect ?timeout ?options endpoint) f

(* Servers *)

(* TCP has refused connections for want of memory. *)
let make_room (l : Descriptor.t) =
  let refused = Soil_raw_tcp.tcp_refused l.handle in
  if refused > 0 then Peers.evict_for_connections refused

let serve ?max_connections ?grace ?on_error l handler =
  let abort (d : Descriptor.t) = ignore (Soil_raw_tcp.tcp_abort d.handle) in
  Serving.serve "Soil.Tcp.serve" (accept_next make_room) ~abort ?max_connections ?grace ?on_error l
    handler
