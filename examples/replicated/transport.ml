module Task = Soil.Task
module Stream = Soil.Task.Stream
module Fd = Soil.File_descriptor

type peer = { mutable address : string; queue : Message.t Stream.t }
type t = { scope : Task.scope; id : int; own : string; peers : (int, peer) Hashtbl.t }

let create scope ~id ~address = { scope; id; own = address; peers = Hashtbl.create 8 }

(* Messages in a queue: a follower's window. *)
let queue_length = 64
let connect_timeout = 1.

(* Seconds until a connection ends whose peer acknowledges nothing: a new one gets through sooner
   after a partition than TCP's retransmissions, which come more and more seldom. *)
let user_timeout = 1.
let retry_after = 0.1

(* The first frame. *)

let greeting = "soil-raft 1"

let hello b (id, address) =
  Wire.string b greeting;
  Wire.int b id;
  Wire.string b address

let to_hello i =
  let first = Wire.to_string i in
  if first <> greeting then raise (Wire.Malformed ("greeting " ^ String.escaped first));
  let id = Wire.to_int i in
  (id, Wire.to_string i)

(* Sending *)

let rec discard queue = if Stream.poll queue <> None then discard queue
let write w m = Wire.write_frame w (Wire.encode Message.encoder m)

(* The messages that have come together are sent together. *)
let rec write_queued w queue =
  match Stream.poll queue with
  | Some m ->
      write w m;
      write_queued w queue
  | None -> Soil.Writer.flush w

let rec send_all w queue =
  write w (Stream.take queue);
  write_queued w queue;
  send_all w queue

let connect t peer =
  let endpoint = Soil.Net.Endpoint.of_string peer.address in
  Fd.with_close (Soil.Tcp.connect ~timeout:connect_timeout ~user_timeout endpoint) @@ fun c ->
  let w = Soil.Writer.create ~size:65536 c in
  Wire.write_frame w (Wire.encode hello (t.id, t.own));
  send_all w peer.queue

(* Messages for the last connection are too old for the next one. *)
let rec keep_connected t peer =
  (try connect t peer with Soil.Error _ -> ());
  Soil.Clock.sleep retry_after;
  discard peer.queue;
  keep_connected t peer

let learn t ~id ~address =
  if id <> t.id && Soil.Net.Endpoint.of_string_opt address <> None then
    match Hashtbl.find_opt t.peers id with
    | Some peer -> peer.address <- address
    | None ->
        let peer = { address; queue = Stream.create queue_length } in
        Hashtbl.add t.peers id peer;
        ignore (Task.spawn t.scope (fun () -> keep_connected t peer))

let send t id m =
  match Hashtbl.find_opt t.peers id with
  | Some peer -> ignore (Stream.try_push peer.queue m)
  | None -> ()

(* Receiving *)

let receive_all t c receive =
  let r = Soil.Reader.create ~size:65536 c in
  let read decoder = Wire.decode decoder (Wire.read_frame ~max:Wire.max_frame r) in
  let id, address = read to_hello in
  if not (Hashtbl.mem t.peers id) then learn t ~id ~address;
  while not (Soil.Reader.at_end r) do
    receive id (read Message.decoder)
  done

let serve t ~max_connections listener receive =
  Soil.Tcp.serve ~max_connections listener @@ fun c ->
  Soil.Tcp.keepalive c (Some 5.);
  try receive_all t c receive with
  | Wire.Malformed reason -> prerr_endline ("close " ^ Fd.name c ^ ": " ^ reason)
  | End_of_file -> ()
