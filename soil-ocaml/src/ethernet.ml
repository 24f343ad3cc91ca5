open Typed

type socket = [ `Ethernet ] File_descriptor.t

let io = Descriptor.no_io (fun d -> "ethernet " ^ d.path)

let mac_of_string s =
  let digits = String.concat "" (String.split_on_char ':' s) in
  let is_hex = function '0' .. '9' | 'a' .. 'f' | 'A' .. 'F' -> true | _ -> false in
  if String.length s <> 17 || String.length digits <> 12 || not (String.for_all is_hex digits) then
    invalid_arg ("Soil.Ethernet: not an Ethernet address: " ^ s);
  String.init 6 (fun i -> Char.chr (int_of_string ("0x" ^ String.sub digits (2 * i) 2)))

let hex n = String.make 1 "0123456789abcdef".[n]

let mac_to_string raw =
  let byte i = hex (Char.code raw.[i] lsr 4) ^ hex (Char.code raw.[i] land 15) in
  String.concat ":" (List.init 6 byte)

let broadcast = "ff:ff:ff:ff:ff:ff"

let open_ ?(interface = 0) ethertype =
  if ethertype < 0x600 || ethertype > 0xffff then
    invalid_arg "Soil.Ethernet.open_: not between 0x600 and 0xffff";
  let subject = "interface " ^ string_of_int interface in
  let handle = Soil_raw_net_extra.ethernet_open interface ethertype in
  let handle = Failure.check ~operation:"ethernet open" ~subject handle in
  typed (Descriptor.make ~path:subject io handle)

let send ?timeout d ~destination b off len =
  let d = any d in
  Descriptor.check_bytes "Ethernet.send" b off len;
  let destination = mac_of_string destination in
  let rec go () =
    Scheduler.spend ();
    let n = Soil_raw_net_extra.ethernet_send d.handle destination b off len in
    if n < 0 then (
      Descriptor.retry d "send" Soil_raw.park_write n;
      go ())
  in
  Deadline.within timeout go

type frame = { length : int; source : string; destination : string }

let receive ?timeout d b off len =
  let d = any d in
  Descriptor.check_bytes "Ethernet.receive" b off len;
  let addresses = Bytes.create 12 in
  let rec go () =
    Scheduler.spend ();
    let n = Soil_raw_net_extra.ethernet_receive d.handle addresses b off len in
    if n >= 0 then n
    else (
      Descriptor.retry d "receive" Soil_raw.park_read n;
      go ())
  in
  let length = Deadline.within timeout go in
  let address at = mac_to_string (Bytes.sub_string addresses at 6) in
  { length; source = address 0; destination = address 6 }
