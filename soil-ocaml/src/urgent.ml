let check d operation result = if result < 0 then Descriptor.fail d operation result else result

let left_of (d : Descriptor.t) =
  check d "urgent data" (Soil_raw_tcp.tcp_urgent d.handle (Descriptor.given_back d))

let left c = left_of (Typed.any c)

let send c b off len =
  Descriptor.check_bytes "send" b off len;
  let d = Typed.any c in
  Descriptor.exclusively d (fun () ->
      (* Before the bytes: a segment that leaves without the pointer never gets it. *)
      ignore (check d "send" (Soil_raw_tcp.tcp_send_urgent d.handle len));
      File_descriptor.write c b off len)

let wait ?timeout c =
  let d = Typed.any c in
  let wait () =
    match left_of d with
    | 0 when Descriptor.given_back d = 0 ->
        Descriptor.retry d "urgent data" Soil_raw.park_read Soil_raw.would_block;
        left_of d
    | n -> n
  in
  Deadline.within timeout wait
