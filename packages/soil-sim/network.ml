type quality = {
  latency : int;
  jitter : int;
  bandwidth : int;
  loss : float;
  duplicate : float;
  corrupt : float;
  reorder : float;
}

let lan =
  {
    latency = 100_000;
    jitter = 50_000;
    bandwidth = 125_000_000;
    loss = 0.;
    duplicate = 0.;
    corrupt = 0.;
    reorder = 0.;
  }

(* A direction between two nodes. *)
type path = { mutable free_at : int; mutable last_arrival : int; rng : Generate.t }
type change = { from : int option; into : int option; change : quality -> quality }

type t = {
  seed : Generate.t;
  mutable base : quality;
  paths : (int * int, path) Hashtbl.t;
  mutable changes : (int * change) list;  (** The last one first. *)
  mutable blocks : (int * (string * (int -> int -> bool))) list;
  mutable added : int;
  routers : (int, int) Hashtbl.t;  (** By the nodes behind them. *)
}

let create rng base =
  {
    seed = rng;
    base;
    paths = Hashtbl.create 64;
    changes = [];
    blocks = [];
    added = 0;
    routers = Hashtbl.create 8;
  }

let mac i = Printf.sprintf "\x02S\x00\x00%c%c" (Char.chr (i / 256)) (Char.chr (i land 255))

(* The node whose address [frame] begins with. *)
let destination frame =
  if String.starts_with ~prefix:"\x02S\x00\x00" frame then Some (String.get_uint16_be frame 4)
  else None

let address i = Printf.sprintf "10.0.0.%d" (i + 1)
let ip i = 0x0a000001 + i

let number t =
  t.added <- t.added + 1;
  t.added

let concerns change a b =
  let is node = function None -> true | Some other -> node = other in
  is a change.from && is b change.into

let quality t a b =
  let apply (_, change) quality = if concerns change a b then change.change quality else quality in
  List.fold_right apply t.changes t.base

let is_faster a b = a.latency < b.latency || a.jitter < b.jitter || a.bandwidth > b.bandwidth

(* Frames that are on a slow way when it ends arrive late: they don't hold up the next ones. *)
let change_quality t f =
  let ways = List.map (fun ((a, b), path) -> (a, b, path, quality t a b)) in
  let before = ways (List.of_seq (Hashtbl.to_seq t.paths)) in
  f ();
  let free (a, b, path, before) =
    if is_faster (quality t a b) before then (
      path.free_at <- 0;
      path.last_arrival <- 0)
  in
  List.iter free before

let set_base t base = change_quality t (fun () -> t.base <- base)

let set_quality t ?from ?into change =
  let id = number t in
  t.changes <- (id, { from; into; change }) :: t.changes;
  fun () -> change_quality t (fun () -> t.changes <- List.remove_assoc id t.changes)

let block t ~reason f =
  let id = number t in
  t.blocks <- (id, (reason, f)) :: t.blocks;
  fun () -> t.blocks <- List.remove_assoc id t.blocks

type fate = Lost of string | Arrives of int * string

(* Each direction has numbers of its own: a fault of one changes nothing about the others. *)
let path t a b =
  match Hashtbl.find_opt t.paths (a, b) with
  | Some path -> path
  | None ->
      let rng = Generate.derive t.seed ((a * 4096) + b) in
      let path = { free_at = 0; last_arrival = 0; rng } in
      Hashtbl.add t.paths (a, b) path;
      path

let flip rng frame =
  let bytes = Bytes.of_string frame in
  let bit = Generate.int rng (8 * Bytes.length bytes) in
  Bytes.set_uint8 bytes (bit / 8) (Bytes.get_uint8 bytes (bit / 8) lxor (1 lsl (bit mod 8)));
  Bytes.to_string bytes

(* What waits for the wire: more is lost, as in a switch. *)
let queue_ns = 2_000_000_000
let happens rng share = share > 0. && Generate.float rng 1. < share

let travel path (q : quality) ~now frame =
  let rng = path.rng in
  let sent = max now path.free_at + (String.length frame * 1_000_000_000 / max 1 q.bandwidth) in
  path.free_at <- sent;
  let extra = -.float q.jitter *. log (1. -. Generate.float rng 1.) in
  let arrival = sent + q.latency + int_of_float extra in
  let arrival =
    if happens rng q.reorder then arrival + q.latency + Generate.int rng (1 + (4 * q.jitter))
    else max arrival (path.last_arrival + 1)
  in
  path.last_arrival <- max path.last_arrival arrival;
  Arrives (arrival, if happens rng q.corrupt then flip rng frame else frame)

let to_one t ~now ~origin ~from ~into frame =
  let blocked = List.find_opt (fun (_, (_, f)) -> f from into || f origin into) t.blocks in
  match blocked with
  | Some (_, (reason, _)) -> [ Lost reason ]
  | None ->
      let q = quality t from into and path = path t from into in
      if happens path.rng q.loss then [ Lost "loss" ]
      else if path.free_at > now + queue_ns then [ Lost "full queue" ]
      else
        let first = travel path q ~now frame in
        if happens path.rng q.duplicate then [ first; travel path q ~now frame ] else [ first ]

let ethernet_header = 14
let put_behind t ~router node = Hashtbl.replace t.routers node router
let router t node = Hashtbl.find_opt t.routers node

(* A router is on its own Ethernet and on the others'. *)
let are_beside t a b =
  let behind a = router t a in
  behind a = behind b || behind a = Some b || behind b = Some a

let carry t ~now ?origin ~from ~nodes frame =
  if String.length frame < ethernet_header then []
  else
    let is_near i = i <> from && are_beside t from i in
    let targets =
      if Char.code frame.[0] land 1 = 1 then List.filter is_near (List.init nodes Fun.id)
      else match destination frame with Some i when i < nodes && is_near i -> [ i ] | _ -> []
    in
    let origin = Option.value origin ~default:from in
    List.map (fun into -> (into, to_one t ~now ~origin ~from ~into frame)) targets

let flags = [ (0x02, "SYN"); (0x01, "FIN"); (0x04, "RST"); (0x08, "PSH"); (0x10, "ACK") ]

let describe frame =
  let u8 i = Char.code frame.[i] in
  let u16 i = (u8 i lsl 8) lor u8 (i + 1) in
  try
    match u16 12 with
    | 0x0806 -> "arp"
    | 0x0800 -> (
        let ip = ethernet_header in
        let payload = ip + (4 * (u8 ip land 15)) in
        match u8 (ip + 9) with
        | 6 ->
            let set = List.filter (fun (bit, _) -> u8 (payload + 13) land bit <> 0) flags in
            let length = u16 (ip + 2) - (payload - ip) - (4 * (u8 (payload + 12) lsr 4)) in
            let set = String.concat " " (List.map snd set) in
            Printf.sprintf "tcp %d-%d %s %d" (u16 payload) (u16 (payload + 2)) set length
        | 17 -> Printf.sprintf "udp %d-%d" (u16 payload) (u16 (payload + 2))
        | 1 -> "icmp"
        | n -> Printf.sprintf "ip protocol %d" n)
    | 0x86dd -> "ipv6"
    | n -> Printf.sprintf "ethernet %04x" n
  with Invalid_argument _ -> "a short frame"
