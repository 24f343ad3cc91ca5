type t = [ `Tcp | `Bound ] File_descriptor.t

let bind ?(address = Address.any) ?options ?(port = 0) () =
  Address.check_port "Soil.Bound.bind" port;
  let endpoint = { Address.address; port } in
  let subject = Address.endpoint_to_string endpoint in
  let parameters = Connection.encode None None None options in
  let result = Soil_raw_tcp.tcp_bind (Address.endpoint_to_raw endpoint) parameters in
  Typed.typed (Connection.listener ~operation:"tcp bind" ~subject result)

(* Hands the handle over: [b] is closed from now on. *)
let take (b : Descriptor.t) = b.is_open <- false

(* [take] may have given the handle, which is still open, to a listener. *)
let check_open operation (b : Descriptor.t) =
  if not b.is_open then Error.fail Closed operation ~subject:(b.io.describe b)

let connect ?timeout b endpoint =
  let b = Typed.any b in
  let start endpoint =
    check_open "connect" b;
    let result = Soil_raw_tcp.tcp_connect_bound b.handle (Address.endpoint_to_raw endpoint) in
    if result >= 0 then take b;
    result
  in
  Typed.typed (Deadline.within timeout (fun () -> Connection.to_ endpoint start))

let listen ?(backlog = 1024) b =
  let b = Typed.any b in
  let backlog = Connection.backlog "Soil.Bound.listen" backlog in
  check_open "listen" b;
  let result = Soil_raw_tcp.tcp_listen_bound b.handle backlog in
  if result < 0 then Descriptor.fail b "listen" result;
  take b;
  Typed.typed (Connection.listener ~operation:"listen" ~subject:b.path b.handle)
