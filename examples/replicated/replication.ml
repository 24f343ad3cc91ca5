(** A leader's part in replication: entries, snapshots, commitment and reads (thesis, sections 3.5,
    3.6, 6.4 and 10.2). *)

open Message
open State

let set_peer t l id p = { t with role = Leader { l with peers = Peers.add id p l.peers } }

(* Sending *)

(* From [first] on, as many as a message takes. *)
let batch t first =
  let size (e : entry) = match e.payload with Command s -> 32 + String.length s | _ -> 1024 in
  let rec collect index room entries =
    if index > Log.last t.log then entries
    else
      let e = Log.entry t.log index in
      let room = room - size e in
      if room < 0 && entries <> [] then entries else collect (index + 1) room (e :: entries)
  in
  List.rev (collect first t.settings.batch [])

let send_entries t l id p entries =
  let prev_index = p.next - 1 in
  let prev_term = Option.get (Log.term t.log prev_index) in
  let request =
    Append_request
      { term = t.term; round = l.round; prev_index; prev_term; entries; commit = t.commit }
  in
  (send id request t, { p with sent = t.now; sent_round = l.round })

let send_snapshot t l id p offset =
  let index = t.snapshot.index in
  let sending = Snapshot { index; offset; sent = t.now } in
  let p = { p with sending; awaiting = true; sent = t.now; sent_round = l.round } in
  (emit (Send_snapshot { peer = id; round = l.round; index; offset }) t, p)

(* What the leader can say of its log at [p.next] while that is before the base: nothing is sent but
   the term and the round, at the base. *)
let send_heartbeat t l id p =
  send_entries t l id { p with next = max p.next (Log.base t.log + 1) } []

let rec replicate t l id p =
  let due = t.now >= p.sent +. t.settings.heartbeat || p.sent_round < l.round in
  let heartbeat () =
    if not due then (t, p)
    else
      let t, sent = send_heartbeat t l id p in
      (t, { sent with next = p.next })
  in
  match p.sending with
  | Snapshot s when s.index <> t.snapshot.index -> send_snapshot t l id p 0
  | Snapshot s ->
      let late = t.now -. s.sent > snd t.settings.election in
      if late || not p.awaiting then send_snapshot t l id p s.offset else heartbeat ()
  | (Probe | Pipeline) when p.next <= Log.base t.log -> send_snapshot t l id p 0
  | Probe ->
      if p.awaiting then heartbeat ()
      else
        let entries = batch t p.next in
        if entries = [] then heartbeat ()
        else
          let t, p = send_entries t l id p entries in
          (t, { p with awaiting = true })
  | Pipeline when p.next <= Log.last t.log && p.next - p.matched <= t.settings.window ->
      let entries = batch t p.next in
      let t, p = send_entries t l id p entries in
      replicate t l id { p with next = p.next + List.length entries }
  | Pipeline -> heartbeat ()

(** [flush t] sends all that is due: entries that a follower's window has room for, heartbeats,
    parts of the snapshot. *)
let flush t =
  match t.role with
  | Follower _ | Pre_candidate _ | Candidate _ -> t
  | Leader l ->
      let one id p (t, peers) =
        let t, p = replicate t l id p in
        (t, Peers.add id p peers)
      in
      let t, peers = Peers.fold one l.peers (t, l.peers) in
      { t with role = Leader { l with peers } }

(** [next_heartbeat t l] is the time at which {!flush} has more to send, in seconds. *)
let next_heartbeat t l =
  Peers.fold
    (fun _ (p : progress) time -> Float.min time (p.sent +. t.settings.heartbeat))
    l.peers (t.now +. t.settings.heartbeat)

(* Commitment and reads *)

(** [advance_commit t l] commits the entries on the disks of a majority, if the last such entry is
    of the leader's own term. *)
let advance_commit t l =
  let matched id =
    if id = t.id then t.durable
    else match Peers.find_opt id l.peers with Some p -> p.matched | None -> 0
  in
  let index = agreed t matched in
  if index > t.commit && Log.term t.log index = Some t.term then commit_to t index else t

(** [answer_reads t] lets the reads proceed that a round of heartbeats has confirmed. *)
let answer_reads t =
  match t.role with
  | Follower _ | Pre_candidate _ | Candidate _ -> t
  | Leader l ->
      let acked id =
        if id = t.id then l.round
        else match Peers.find_opt id l.peers with Some p -> p.acked_round | None -> 0
      in
      let round = agreed t acked in
      let is_ready (r : read) = r.round <= round && r.index <= t.commit in
      let ready, waiting = List.partition is_ready l.reads in
      let t = List.fold_left (fun t (r : read) -> emit (Read_ready r.token) t) t (List.rev ready) in
      { t with role = Leader { l with reads = waiting } }

(** [read t l token] begins a round of heartbeats. The read sees all that was committed before, and
    all that an earlier leader may have committed: up to this leader's first entry. *)
let read t l token =
  let round = l.round + 1 in
  let read = { token; index = max t.commit l.start; round } in
  { t with role = Leader { l with round; reads = read :: l.reads } }

(* Responses *)

let is_quorum_heard t l =
  let is_heard id =
    id = t.id
    ||
    match Peers.find_opt id l.peers with
    | Some p -> t.now -. p.heard <= snd t.settings.election
    | None -> false
  in
  majority t is_heard

let hear t p ~round = { p with heard = t.now; acked_round = max p.acked_round round }

(* A rejection of an earlier message than the last one says nothing new. *)
let reject p ~prev_index hint =
  match p.sending with
  | Snapshot _ -> p
  | Probe when prev_index <> p.next - 1 -> p
  | Probe | Pipeline ->
      if prev_index <= p.matched then p
      else
        let next = max (p.matched + 1) (min (hint + 1) prev_index) in
        { p with next; sending = Probe; awaiting = false }

let accept t p index =
  let matched = max p.matched index in
  let p = { p with matched; next = max p.next (matched + 1) } in
  match p.sending with
  | Pipeline -> p
  | Snapshot _ when index < Log.base t.log -> p
  | Snapshot _ | Probe -> { p with next = matched + 1; sending = Pipeline; awaiting = false }

(** [on_append_response t l from] updates the progress of a follower. *)
let on_append_response t l from ~round ~prev_index outcome =
  match Peers.find_opt from l.peers with
  | None -> t
  | Some p -> (
      let p = hear t p ~round in
      match outcome with
      | Rejected hint -> set_peer t l from (reject p ~prev_index hint)
      | Accepted index -> set_peer t l from (accept t p index))

(** [on_snapshot_response t l from] continues the snapshot where the follower is. *)
let on_snapshot_response t l from ~round ~index ~received =
  match Peers.find_opt from l.peers with
  | None -> t
  | Some p -> (
      let p = hear t p ~round in
      match p.sending with
      | Snapshot s when s.index = index ->
          let sending = Snapshot { s with offset = received } in
          set_peer t l from { p with sending; awaiting = false }
      | Snapshot _ | Probe | Pipeline -> set_peer t l from p)
