type reply = { time : float; hop_limit : int }

let operation = "ping"

let wait handle subject =
  let record = Scheduler.create_ints Soil_raw.echo_reply_length in
  Descriptor.finish ~operation ~subject handle Soil_raw.park_read (fun handle ->
      Soil_raw_net.echo_result handle record);
  {
    time = float_of_int (Soil_raw.echo_reply record Time) *. 1e-9;
    hop_limit = Soil_raw.echo_reply record Hop_limit;
  }

let ask address length =
  let subject = Address.to_string address in
  if not (Address.is_loopback address) then
    ignore (Scheduler.operation ~operation ~subject (fun token -> Soil_raw_net.net_up token));
  let endpoint = Address.endpoint_to_raw { Address.address; port = 0 } in
  let handle = Failure.check ~operation ~subject (Soil_raw_net.echo endpoint length) in
  let close () = ignore (Soil_raw.fd_close handle) in
  Failure.finally close (fun () -> wait handle subject)

let ping ?(timeout = 5.) ?(length = 56) address =
  if length < 0 || length > 65_000 then invalid_arg "Soil.Icmp.ping: length out of range";
  Deadline.within (Some timeout) (fun () -> ask address length)
