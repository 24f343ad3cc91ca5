type reply = { time : float; hop_limit : int }

let operation = "ping"

let wait handle subject =
  let record = Scheduler.create_ints Soil_raw.echo_reply_length in
  let rec go () =
    let result = Soil_raw_net.echo_result handle record in
    if result = Soil_raw.would_block then (
      let result = Scheduler.wait_ready handle Soil_raw.park_read in
      ignore (Failure.check ~operation ~subject result);
      go ())
    else ignore (Failure.check ~operation ~subject result)
  in
  go ();
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
  match wait handle subject with
  | reply ->
      ignore (Soil_raw.fd_close handle);
      reply
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      ignore (Soil_raw.fd_close handle);
      Soil_backtrace.reraise e backtrace

let ping ?(timeout = 5.) ?(length = 56) address =
  if length < 0 || length > 65_000 then invalid_arg "Soil.Icmp.ping: length out of range";
  Deadline.within (Some timeout) (fun () -> ask address length)
