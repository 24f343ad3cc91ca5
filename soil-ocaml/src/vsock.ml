open Typed

type connection = [ `Read | `Write | `Shutdown | `Vsock | `Vsock_connection ] File_descriptor.t
type listener = [ `Vsock | `Vsock_listener ] File_descriptor.t
type address = { cid : int; port : int }

let host = 2
let loopback = 1
let any_number = 0xffff_ffff
let to_string a = string_of_int a.cid ^ ":" ^ string_of_int a.port

(* The path of a descriptor is its name as asked for, which is known also after it was closed. *)
let describe (d : Descriptor.t) = "vsock " ^ d.path
let listener_io = Descriptor.no_io describe
let connection_io = Descriptor.stream_io describe

let check_number operation what n =
  if n < 0 || n > any_number then invalid_arg ("Soil.Vsock." ^ operation ^ ": " ^ what)

let check_address operation a =
  check_number operation "CID out of range" a.cid;
  check_number operation "port out of range" a.port

let cid () =
  match Failure.check ~operation:"vsock" ~subject:"" (Soil_raw_vsock.vsock_cid ()) with
  | n when n = any_number -> None
  | n -> Some n

let address operation get (d : Descriptor.t) =
  let b = Bytes.create 8 in
  let result = get d.handle b in
  if result < 0 then Descriptor.fail d operation result;
  let number at = Int32.to_int (Bytes.get_int32_le b at) land any_number in
  { cid = number 0; port = number 4 }

let peer_of = address "peer address" (fun handle b -> Soil_raw_vsock.vsock_peer handle b)
let local d = address "local address" (fun handle b -> Soil_raw_vsock.vsock_local handle b) (any d)
let peer c = peer_of (any c)

let abort c =
  let d = any c in
  if d.is_open then (
    ignore (Soil_raw_vsock.vsock_abort d.handle);
    Descriptor.close d)

(* Servers *)

let listen ?(backlog = 1024) ?cid ?port () =
  let backlog = Connection.backlog "Soil.Vsock.listen" backlog in
  let chosen = function None -> any_number | Some n -> n in
  let asked = { cid = chosen cid; port = chosen port } in
  check_address "listen" asked;
  let name n = if n = any_number then "*" else string_of_int n in
  let subject = name asked.cid ^ ":" ^ name asked.port in
  let result = Soil_raw_vsock.vsock_listen asked.cid asked.port backlog in
  let handle = Failure.check ~operation:"vsock listen" ~subject result in
  typed (Descriptor.make ~path:subject listener_io handle)

let accept_next (l : Descriptor.t) =
  let accept () = Soil_raw_vsock.vsock_accept l.handle in
  let handle = Descriptor.attempt l "accept" Soil_raw.park_read accept in
  let d = Descriptor.make connection_io handle in
  (try d.path <- to_string (peer_of d) with Error.Error _ -> ());
  d

let accept ?timeout l : connection = typed (Deadline.within timeout (fun () -> accept_next (any l)))

let serve ?max_connections ?grace ?on_error l handler =
  Serving.serve "Soil.Vsock.serve" accept_next ~abort:ignore ?max_connections ?grace ?on_error l
    handler

(* Clients *)

let operation = "vsock connect"

let connect ?timeout a : connection =
  check_address "connect" a;
  if a.cid = any_number || a.port = any_number then
    invalid_arg "Soil.Vsock.connect: not an address of one machine";
  let subject = to_string a in
  typed
    ( Deadline.within timeout @@ fun () ->
      let result = Soil_raw_vsock.vsock_connect a.cid a.port in
      let handle = Failure.check ~operation ~subject result in
      let d = Descriptor.make ~path:subject connection_io handle in
      Descriptor.closed_on_failure d (fun () ->
          Descriptor.finish ~operation ~subject handle Soil_raw.park_write (fun handle ->
              Soil_raw_vsock.vsock_connected handle));
      d )

let with_connection ?timeout a f = File_descriptor.with_close (connect ?timeout a) f
