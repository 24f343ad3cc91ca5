let bind ?(address = Address.any) ?options ?(port = 0) () =
  Address.check_port "Soil.Bound.bind" port;
  let endpoint = { Address.address; port } in
  let subject = Address.endpoint_to_string endpoint in
  let how = Connection.how None None None options in
  Connection.listener ~operation:"tcp bind" ~subject
    (Soil_raw_net_extra.tcp_bind (Address.endpoint_to_raw endpoint) how)

let connect ?timeout (b : Descriptor.t) endpoint =
  Descriptor.need Listener b "connect";
  let start endpoint =
    let result = Soil_raw_net_extra.tcp_connect_bound b.handle (Address.endpoint_to_raw endpoint) in
    if result >= 0 then b.is_open <- false;
    result
  in
  Deadline.within timeout (fun () -> Connection.to_ endpoint start)

let listen ?(backlog = 1024) (b : Descriptor.t) =
  let backlog = Connection.backlog "Soil.Bound.listen" backlog in
  Descriptor.need Listener b "listen";
  let result = Soil_raw_net_extra.tcp_listen_bound b.handle backlog in
  if result < 0 then Descriptor.fail b "listen" result
