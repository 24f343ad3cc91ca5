open Typed

type socket = [ `Ethernet ] File_descriptor.t

let io = Descriptor.no_io (fun d -> "ethernet " ^ d.path)

let open_ ?(interface = 0) ethertype =
  if ethertype < 0x600 || ethertype > 0xffff then
    invalid_arg "Soil.Ethernet.open_: not between 0x600 and 0xffff";
  let subject = "interface " ^ string_of_int interface in
  let handle = Soil_raw_net.ethernet_open interface ethertype in
  let handle = Failure.check ~operation:"ethernet open" ~subject handle in
  typed (Descriptor.make ~path:subject io handle)

let send ?timeout d ~destination b off len =
  let d = any d in
  Descriptor.check_bytes "Ethernet.send" b off len;
  let destination = Net_mac.to_octets destination in
  let send () = Soil_raw_net.ethernet_send d.handle destination b off len in
  let wait () = Descriptor.attempt d "send" Soil_raw.park_write send in
  ignore (Deadline.within timeout wait)

type frame = { length : int; source : Net.mac; destination : Net.mac }

let receive ?timeout d b off len =
  let d = any d in
  Descriptor.check_bytes "Ethernet.receive" b off len;
  let addresses = Bytes.create 12 in
  let receive () = Soil_raw_net.ethernet_receive d.handle addresses b off len in
  let wait () = Descriptor.attempt d "receive" Soil_raw.park_read receive in
  let length = Deadline.within timeout wait in
  let address at = Net_mac.of_octets (Bytes.sub_string addresses at 6) in
  { length; source = address 0; destination = address 6 }
