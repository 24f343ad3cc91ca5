let check d operation result = if result < 0 then Descriptor.fail d operation result else result

let left (d : Descriptor.t) =
  Descriptor.need Tcp d "urgent data";
  check d "urgent data" (Soil_raw_net_extra.tcp_urgent d.handle (Descriptor.given_back d))

let send (d : Descriptor.t) b off len =
  Descriptor.need Tcp d "send";
  File_descriptor.write d b off len;
  ignore (check d "send" (Soil_raw_net_extra.tcp_send_urgent d.handle))

let wait ?timeout d =
  let wait () =
    match left d with
    | 0 when Descriptor.given_back d = 0 ->
        Descriptor.retry d "urgent data" Soil_raw.park_read Soil_raw.would_block;
        left d
    | n -> n
  in
  Deadline.within timeout wait
