type protocol = Tcp | Udp | Echo

(* The identifier of an echo takes the place of a port inside. *)
type endpoint = { ip : int; port : int }

type mapping = {
  protocol : protocol;
  inside : endpoint;
  public : int;  (** The port of the router. *)
  peer : endpoint;
  mutable used : int;
}

type t = {
  index : int;
  name : string;
  rng : Generate.t;
  idle : protocol -> int;
  most : int;
  inside : int list;
  outside : int -> bool;
  mutable mappings : mapping list;
}

type action = Ignores | Drops | Sends of string | Answers of string

(* Half of the ports: a random one is free soon. *)
let max_mappings = 32_000
let minute = 60_000_000_000
let usual_idle = function Tcp -> 124 * minute | Udp -> 5 * minute | Echo -> minute

let create rng ~index ~name ~idle ~most ~inside ~outside =
  let idle = match idle with Some idle -> fun _ -> idle | None -> usual_idle in
  { index; name; rng; idle; most; inside; outside; mappings = [] }

let index t = t.index
let name t = t.name
let is_empty t = t.mappings = []
let forget t = t.mappings <- []

(* Mappings *)

let is_live t ~now m = now - m.used < t.idle m.protocol

let rec free_port t mappings protocol =
  let port = 1024 + Generate.int t.rng (65536 - 1024) in
  let is_taken m = m.protocol = protocol && m.public = port in
  if List.exists is_taken mappings then free_port t mappings protocol else port

let without_oldest mappings =
  let older oldest m = if m.used < oldest.used then m else oldest in
  match mappings with
  | [] -> []
  | first :: rest ->
      let oldest = List.fold_left older first rest in
      List.filter (fun m -> m != oldest) mappings

let add t ~now protocol inside peer =
  let live = List.filter (is_live t ~now) t.mappings in
  let of_same m = m.protocol = protocol && m.inside = inside in
  let public =
    match List.find_opt of_same live with Some m -> m.public | None -> free_port t live protocol
  in
  let mapping = { protocol; inside; public; peer; used = now } in
  t.mappings <- mapping :: (if List.length live < t.most then live else without_oldest live);
  mapping

let find t ~now suits =
  let found = List.find_opt (fun m -> suits m && is_live t ~now m) t.mappings in
  Option.iter (fun m -> m.used <- now) found;
  found

(* Frames *)

let ip = 14
let source = ip + 12
let destination = ip + 16
let get = Bytes.get_uint16_be
let address frame at = Int32.to_int (Bytes.get_int32_be frame at) land 0xffffffff

(* RFC 1624, equation 3. A checksum that was wrong stays wrong: the router hides no corruption. *)
let correct frame sum ~before ~after =
  let fold sum = (sum land 0xffff) + (sum lsr 16) in
  let complement n = lnot n land 0xffff in
  let total = complement (get frame sum) + complement before + after in
  Bytes.set_uint16_be frame sum (complement (fold (fold total)))

let set frame ~sums at after =
  let before = get frame at in
  Bytes.set_uint16_be frame at after;
  List.iter (fun sum -> correct frame sum ~before ~after) sums

(* The protocol of a packet and where its payload begins. Fragments have no ports. *)
let parse frame =
  let payload = ip + (4 * (Bytes.get_uint8 frame ip land 15)) in
  if get frame (ip + 6) land 0x3fff <> 0 then None
  else
    match Bytes.get_uint8 frame (ip + 9) with
    | 6 -> Some (Tcp, payload)
    | 17 -> Some (Udp, payload)
    | 1 -> Some (Echo, payload)
    | _ -> None

let request = 0x0800
let reply = 0x0000

(* Gives a packet another source or destination, and one router less to pass. *)
let rewrite t frame protocol payload ~which ~port_at endpoint ~into =
  let header = ip + 10 in
  let of_payload =
    match protocol with
    | Tcp -> [ payload + 16 ]
    | Udp -> if get frame (payload + 6) = 0 then [] else [ payload + 6 ]
    | Echo -> [ payload + 2 ]
  in
  let of_addresses = header :: (if protocol = Echo then [] else of_payload) in
  set frame ~sums:[ header ] (ip + 8) (get frame (ip + 8) - 0x100);
  set frame ~sums:of_addresses which (endpoint.ip lsr 16);
  set frame ~sums:of_addresses (which + 2) (endpoint.ip land 0xffff);
  set frame ~sums:of_payload port_at endpoint.port;
  (* UDP writes a sum of 0 as its equal, because 0 means that there is none. *)
  let is_zero sum = protocol = Udp && get frame sum = 0 in
  List.iter (fun sum -> if is_zero sum then Bytes.set_uint16_be frame sum 0xffff) of_payload;
  Bytes.blit_string (Network.mac into) 0 frame 0 6;
  Bytes.blit_string (Network.mac t.index) 0 frame 6 6;
  Sends (Bytes.to_string frame)

let outside t ip =
  let i = ip - Network.ip 0 in
  if i >= 0 && t.outside i then Some i else None

let leaves t ~now frame protocol payload =
  let is_echo = protocol = Echo in
  let port_at = if is_echo then payload + 4 else payload in
  let inside = { ip = address frame source; port = get frame port_at } in
  let port = if is_echo then 0 else get frame (payload + 2) in
  let peer = { ip = address frame destination; port } in
  match outside t peer.ip with
  | Some into
    when List.exists (fun i -> Network.ip i = inside.ip) t.inside
         && ((not is_echo) || get frame payload = request) ->
      let suits m = m.protocol = protocol && m.inside = inside && m.peer = peer in
      let mapping =
        match find t ~now suits with Some m -> m | None -> add t ~now protocol inside peer
      in
      let public = { ip = Network.ip t.index; port = mapping.public } in
      rewrite t frame protocol payload ~which:source ~port_at public ~into
  | _ -> Drops

let comes t ~now frame protocol payload =
  let is_echo = protocol = Echo in
  let port_at = if is_echo then payload + 4 else payload + 2 in
  let port = if is_echo then 0 else get frame payload in
  let peer = { ip = address frame source; port } and public = get frame port_at in
  let suits m = m.protocol = protocol && m.public = public && m.peer = peer in
  if address frame destination <> Network.ip t.index || (is_echo && get frame payload <> reply) then
    Drops
  else
    match find t ~now suits with
    | None -> Drops
    | Some { inside; _ } ->
        let into = inside.ip - Network.ip 0 in
        rewrite t frame protocol payload ~which:destination ~port_at inside ~into

(* The node that is asked for is on the other side: RFC 1027. *)
let answers t ~is_inside asked =
  let asked = address (Bytes.of_string asked) 0 in
  asked = Network.ip t.index || (is_inside && outside t asked <> None)

let route t ~now ~from frame =
  let is_inside = List.mem from t.inside in
  let is_for_router = String.starts_with ~prefix:(Network.mac t.index) frame in
  try
    match (Arp.asked frame, String.get_uint16_be frame 12) with
    | Some asked, _ when answers t ~is_inside asked ->
        Answers (Arp.reply ~mac:(Network.mac t.index) frame)
    | _, 0x0800 when is_for_router -> (
        let frame = Bytes.of_string frame in
        match parse frame with
        | Some (protocol, payload) when get frame (ip + 8) >= 0x200 ->
            (if is_inside then leaves else comes) t ~now frame protocol payload
        | _ -> Drops)
    | _ -> Ignores
  with Invalid_argument _ -> Drops
