(* A cluster of the pure core in one process: its time, its network and its disks are values, and a
   seed orders everything. Checks of the protocol's safety run after each step. *)

open Replicated
module Rng = Random.State

(* The contents of a server's disk. *)
type disk = {
  term : int;
  vote : int option;
  log : Log.t;
  snapshot : Message.snapshot;
  data : (int * string) list;  (** The commands that the snapshot has, the last one first. *)
}

type server = {
  id : int;
  mutable disk : disk;
  mutable raft : Raft.t option;  (** [None] after a crash. *)
  mutable applied : (int * string) list;  (** The indices and commands, the last one first. *)
}

type t = {
  rng : Rng.t;
  servers : server array;
  mutable now : float;
  mutable flying : (float * int * int * Message.t) list;  (** Arrival, from, to, message. *)
  mutable cut : (int * int) list;  (** Pairs that no message gets through. *)
  mutable loss : float;  (** The probability that a message is lost. *)
  mutable late : float;  (** The probability that a message takes longer than an election. *)
  mutable next_token : int;
  mutable answers : (int * State.action) list;  (** To the requests of these tokens. *)
  reads : (int, int) Hashtbl.t;  (** By the token: the entries that were committed before. *)
  leaders : (int, int) Hashtbl.t;  (** The leader of each term. *)
  committed : (int, Message.entry) Hashtbl.t;  (** By the index. *)
}

let fail format = Printf.ksprintf failwith format
let settings = { State.default_settings with batch = 200; window = 16; chunk = 40 }

let boot t server =
  let { term; vote; log; snapshot; data } = server.disk in
  server.applied <- data;
  server.raft <-
    Some
      (Raft.create ~id:server.id ~seed:(Rng.bits t.rng) ~now:t.now ~settings ~term ~vote ~snapshot
         log)

let address id = Printf.sprintf "10.0.0.%d:7000" (id + 1)

let members ids =
  List.map (fun id : Message.member -> { id; address = address id; voter = true }) ids

(* [voters] of the [count] servers are the first members. *)
let create ~seed ~voters count =
  let server id =
    let configuration = if id < voters then members (List.init voters Fun.id) else [] in
    let snapshot : Message.snapshot = { index = 0; term = 0; configuration } in
    let log = Log.create ~base:0 ~base_term:0 in
    { id; disk = { term = 0; vote = None; log; snapshot; data = [] }; raft = None; applied = [] }
  in
  let t =
    {
      rng = Rng.make [| seed |];
      servers = Array.init count server;
      now = 0.;
      flying = [];
      cut = [];
      loss = 0.;
      late = 0.;
      next_token = 0;
      answers = [];
      reads = Hashtbl.create 16;
      leaders = Hashtbl.create 16;
      committed = Hashtbl.create 256;
    }
  in
  Array.iter (boot t) t.servers;
  t

(* Safety *)

let check_leader t (raft : Raft.t) =
  if State.is_leader raft then
    match Hashtbl.find_opt t.leaders raft.term with
    | None -> Hashtbl.add t.leaders raft.term raft.id
    | Some id when id = raft.id -> ()
    | Some id -> fail "term %d has the leaders %d and %d" raft.term id raft.id

let check_committed t server index (entry : Message.entry) =
  match Hashtbl.find_opt t.committed index with
  | None -> Hashtbl.add t.committed index entry
  | Some other when other = entry -> ()
  | Some _ -> fail "server %d commits another entry %d" server.id index

let check_read t server token =
  match Hashtbl.find_opt t.reads token with
  | Some committed when (Option.get server.raft).commit < committed ->
      fail "server %d reads before the entry %d is applied" server.id committed
  | Some _ | None -> ()

(* Actions *)

let encode data =
  Wire.encode
    (Wire.list (fun b (i, s) ->
         Wire.int b i;
         Wire.string b s))
    data

let decode data =
  let pair i =
    let index = Wire.to_int i in
    (index, Wire.to_string i)
  in
  Wire.decode (Wire.to_list pair) data

let post t from peer m =
  if not (List.mem (from, peer) t.cut || Rng.float t.rng 1. < t.loss) then
    let delay = 0.001 +. Rng.float t.rng (if Rng.float t.rng 1. < t.late then 0.6 else 0.01) in
    t.flying <- (t.now +. delay, from, peer, m) :: t.flying

let apply t server index (entry : Message.entry) =
  check_committed t server index entry;
  match entry.payload with
  | Command s -> server.applied <- (index, s) :: server.applied
  | Noop | Configuration _ -> ()

let send_snapshot t server (raft : Raft.t) ~peer ~round ~index ~offset =
  if server.disk.snapshot.index = index then
    let data = encode server.disk.data in
    let total = String.length data in
    let length = max 0 (min settings.chunk (total - offset)) in
    let chunk = String.sub data (min offset total) length in
    let snapshot = server.disk.snapshot in
    post t server.id peer
      (Snapshot_request { term = raft.term; round; snapshot; offset; total; chunk })

let perform t server (raft : Raft.t) : State.action -> unit = function
  | Install (snapshot, data) ->
      server.applied <- decode data;
      server.disk <- { server.disk with snapshot; data = server.applied }
  | Rewrite ->
      server.disk <- { server.disk with term = raft.term; vote = raft.vote; log = raft.log }
  | Save { term; vote } -> server.disk <- { server.disk with term; vote }
  | Append { first; entries } ->
      let log = List.fold_left Log.append (Log.truncate server.disk.log first) entries in
      server.disk <- { server.disk with log }
  | Send (peer, m) ->
      post t server.id peer (Wire.decode Message.decoder (Wire.encode Message.encoder m))
  | Send_snapshot { peer; round; index; offset } ->
      send_snapshot t server raft ~peer ~round ~index ~offset
  | Commit { first; entries } -> List.iteri (fun i e -> apply t server (first + i) e) entries
  | (Proposed { token; _ } | Read_ready token | Not_leader token | Refused (token, _)) as answer ->
      (match answer with Read_ready _ -> check_read t server token | _ -> ());
      t.answers <- (token, answer) :: t.answers
  | Became _ -> ()

let is_durable : State.action -> bool = function
  | Install _ | Rewrite | Save _ | Append _ -> true
  | _ -> false

let rec step t server inputs =
  match server.raft with
  | None -> ()
  | Some raft ->
      let raft, actions = Raft.step raft ~now:t.now inputs in
      server.raft <- Some raft;
      (* A crash may come before the disk has anything, or before the messages leave. *)
      let crashes = t.loss > 0. && Rng.int t.rng 500 = 0 in
      if crashes && Rng.bool t.rng then server.raft <- None
      else (
        List.iter (fun a -> if is_durable a then perform t server raft a) actions;
        if crashes then server.raft <- None
        else (
          check_leader t raft;
          List.iter (fun a -> if not (is_durable a) then perform t server raft a) actions;
          if List.exists is_durable actions then step t server [ Flushed ]))

(* Inputs *)

let request t id input =
  let token = t.next_token in
  t.next_token <- token + 1;
  step t t.servers.(id) [ input token ];
  token

let answer t token = List.assoc_opt token t.answers
let propose t id command = request t id (fun token -> Propose { token; command })

let read t id =
  Hashtbl.replace t.reads t.next_token (Hashtbl.length t.committed);
  request t id (fun token -> Read token)

let change t id change = request t id (fun token -> Change { token; change })

let compact t id =
  let server = t.servers.(id) in
  match server.raft with
  | Some raft when raft.commit > raft.snapshot.index ->
      let snapshot = Raft.snapshot_at raft raft.commit in
      server.disk <- { server.disk with snapshot; data = server.applied };
      step t server [ Compact { snapshot; keep = Rng.int t.rng 8 } ]
  | Some _ | None -> ()

let leader t =
  let leads server = match server.raft with Some raft -> State.is_leader raft | None -> false in
  let term s = (Option.get s.raft).State.term in
  Array.to_list t.servers |> List.filter leads
  |> List.sort (fun a b -> Int.compare (term b) (term a))
  |> function
  | [] -> None
  | s :: _ -> Some s.id

(* The next event: a message or a deadline. *)
let event t =
  let deadline = function
    | { raft = Some raft; _ } as s -> Some (Raft.deadline raft, `Tick s)
    | { raft = None; _ } -> None
  in
  let ticks = List.filter_map deadline (Array.to_list t.servers) in
  let arrivals = List.map (fun ((time, _, _, _) as m) -> (time, `Arrival m)) t.flying in
  let earlier a b = if fst b < fst a then b else a in
  match ticks @ arrivals with
  | [] -> None
  | first :: rest -> Some (List.fold_left earlier first rest)

(* Runs for [seconds]. *)
let run t seconds =
  let until = t.now +. seconds in
  let rec go () =
    match event t with
    | Some (time, what) when time <= until ->
        t.now <- Float.max t.now time;
        (match what with
        | `Tick s -> step t s []
        | `Arrival ((_, from, peer, m) as arrival) ->
            t.flying <- List.filter (fun other -> other != arrival) t.flying;
            step t t.servers.(peer) [ Received (from, m) ]);
        go ()
    | Some _ | None -> t.now <- until
  in
  go ()

let isolate t id =
  let others = List.init (Array.length t.servers) Fun.id in
  t.cut <- List.concat_map (fun other -> [ (id, other); (other, id) ]) others @ t.cut

let heal t = t.cut <- []
let crash t id = t.servers.(id).raft <- None
let restart t id = if t.servers.(id).raft = None then boot t t.servers.(id)
