(** The state of one server in the protocol, and its small steps. Everything here is immutable, and
    does no input or output: {!Raft} combines the steps, and returns their actions. *)

open Message
module Ids = Set.Make (Int)
module Peers = Map.Make (Int)

type settings = {
  heartbeat : float;  (** Seconds between the messages of a leader, at least. *)
  election : float * float;  (** The range, in seconds, of the time without a leader. *)
  batch : int;  (** Bytes of entries in a message; a single entry may be larger. *)
  window : int;  (** Entries on the way to a follower. *)
  chunk : int;  (** Bytes of a snapshot in a message. *)
}

let default_settings =
  {
    heartbeat = 0.05;
    election = (0.15, 0.3);
    batch = 128 * 1024;
    window = 4096;
    chunk = 128 * 1024;
  }

(** How entries go to a follower. *)
type sending =
  | Probe  (** One message at a time, until the follower accepts one. *)
  | Pipeline  (** As many as the window takes, without waiting for responses. *)
  | Snapshot of { index : int; offset : int; sent : float }
      (** The snapshot, from [offset] on, because the log no longer has the entries. *)

type progress = {
  next : int;  (** The next entry to send. *)
  matched : int;  (** The follower has the leader's log up to here, durably. *)
  sending : sending;
  awaiting : bool;  (** A response to a probe, or to a part of the snapshot, is missing. *)
  sent : float;  (** The time of the last message. *)
  heard : float;  (** The time of the last response. *)
  sent_round : int;
  acked_round : int;
}
(** What a leader knows of a follower. *)

type read = {
  token : int;
  index : int;  (** The entry that must be applied before. *)
  round : int;  (** The round of heartbeats that must be answered before. *)
}

type leader = {
  start : int;  (** The index of its first entry: earlier entries commit with that one. *)
  round : int;
  peers : progress Peers.t;  (** All members but itself. *)
  reads : read list;
}

type role =
  | Follower of int option  (** Of this leader, if it is known. *)
  | Pre_candidate of Ids.t  (** These would vote for it. *)
  | Candidate of Ids.t  (** These have voted for it. *)
  | Leader of leader

type receiving = { incoming : snapshot; chunks : string list; received : int }

type action =
  | Install of snapshot * string
      (** Make the snapshot with this data durable, and replace the state machine by it. *)
  | Rewrite  (** Make the whole of {!type-t.term}, {!type-t.vote} and {!type-t.log} durable. *)
  | Save of { term : int; vote : int option }  (** Make these durable. *)
  | Append of { first : int; entries : entry list }
      (** Make these entries durable, which replace all from [first] on. *)
  | Send of int * Message.t
  | Send_snapshot of { peer : int; round : int; index : int; offset : int }
      (** Send a part of the snapshot with this index, in the current term. *)
  | Commit of { first : int; entries : entry list }  (** Apply these. *)
  | Proposed of { token : int; index : int }
      (** The request of this token is the entry [index] of the current term. *)
  | Read_ready of int  (** The request of this token can read the state machine. *)
  | Not_leader of int  (** The request of this token had no effect. *)
  | Refused of int * string  (** As [Not_leader], for this reason. *)
  | Became of { term : int; role : role }  (** The role, or the term, is now another. *)

type t = {
  id : int;
  settings : settings;
  seed : int;  (** The state of the generator of random numbers. *)
  now : float;
  term : int;
  vote : int option;
  log : Log.t;
  snapshot : snapshot;  (** The latest one. *)
  configuration : configuration;  (** The latest one of the log, committed or not. *)
  configured : int;  (** The index of that. *)
  commit : int;
  durable : int;  (** The log is durable up to here. *)
  role : role;
  deadline : float;  (** An election begins then, if no leader is heard of before. *)
  heard : float;  (** The time at which a leader was last heard of. *)
  receiving : receiving option;
  changed : int option;  (** The first entry that was appended or removed in this step. *)
  installed : string option;  (** The data of a snapshot that came in this step. *)
  rewrite : bool;  (** The log got another base in this step. *)
  outbox : action list;  (** The other actions of this step, the last one first. *)
}

let emit action t = { t with outbox = action :: t.outbox }
let send peer message t = emit (Send (peer, message)) t
let is_leader t = match t.role with Leader _ -> true | _ -> false
let leader_id t = match t.role with Leader _ -> Some t.id | Follower leader -> leader | _ -> None

(* A linear congruential generator: elections need no better one, and the same seed gives the same
   run. *)
let random t =
  let seed = (t.seed * 2862933555777941757) + 3037000493 in
  (float_of_int ((seed lsr 20) land 0xffff_ffff) /. 4294967296., { t with seed })

(** [restart_timer t] waits for a leader again, for a random time. *)
let restart_timer t =
  let least, most = t.settings.election in
  let random, t = random t in
  { t with deadline = t.now +. least +. (random *. (most -. least)) }

(* Members *)

let member t id = List.find_opt (fun (m : member) -> m.id = id) t.configuration
let is_voter t id = match member t id with Some m -> m.voter | None -> false

let voters t =
  List.filter_map (fun (m : member) -> if m.voter then Some m.id else None) t.configuration

let others t = List.filter (fun (m : member) -> m.id <> t.id) t.configuration

(** [majority t count] is [true] iff [count] holds for more than half of the voters. *)
let majority t count =
  let voters = voters t in
  2 * List.length (List.filter count voters) > List.length voters

(** [agreed t value] is the highest number that [value] reaches for a majority of the voters; 0 if
    there are no voters. *)
let agreed t value =
  match List.sort (fun a b -> Int.compare b a) (List.map value (voters t)) with
  | [] -> 0
  | values -> List.nth values (List.length values / 2)

(** [configuration_at t index] is the configuration at that entry of the log, and its index. *)
let rec configuration_at t index =
  if index <= t.snapshot.index then (t.snapshot.configuration, t.snapshot.index)
  else
    match (Log.entry t.log index).payload with
    | Configuration c -> (c, index)
    | Noop | Command _ -> configuration_at t (index - 1)

(** [may_lead t] is [true] iff this server is a voter, or was one before the latest change of the
    members, which isn't committed: its log may be the only one that can commit that change (thesis,
    section 4.2.2). *)
let may_lead t =
  is_voter t t.id
  || t.configured > t.commit
     &&
     let before, _ = configuration_at t (t.configured - 1) in
     List.exists (fun (m : member) -> m.id = t.id && m.voter) before

let refresh_configuration t =
  let configuration, configured = configuration_at t (Log.last t.log) in
  { t with configuration; configured }

(* The log *)

let mark_changed index t =
  let first = match t.changed with Some first -> min first index | None -> index in
  { t with changed = Some first; durable = min t.durable (index - 1) }

let append t (entry : entry) =
  let log = Log.append t.log entry in
  let t = mark_changed (Log.last log) { t with log } in
  match entry.payload with
  | Configuration configuration -> { t with configuration; configured = Log.last log }
  | Noop | Command _ -> t

(** [truncate t index] removes the entries from [index] on. *)
let truncate t index =
  if index <= t.commit then
    failwith
      (Printf.sprintf
         "replicated: a leader of term %d contradicts the committed entry %d: the logs of a \
          majority were lost or changed; restore a backup"
         t.term index);
  refresh_configuration (mark_changed index { t with log = Log.truncate t.log index })

(** [commit_to t index] commits the entries up to [index]. *)
let commit_to t index =
  if index <= t.commit then t
  else
    let first = t.commit + 1 in
    emit (Commit { first; entries = Log.range t.log first index }) { t with commit = index }

(* Roles *)

(** [become_follower t ~term leader] follows [leader] in [term], which isn't before the current one.
    The timer of a leader starts. *)
let become_follower t ~term leader =
  let t =
    match t.role with
    | Leader l ->
        restart_timer (List.fold_left (fun t read -> emit (Not_leader read.token) t) t l.reads)
    | Follower _ | Pre_candidate _ | Candidate _ -> t
  in
  let vote = if term > t.term then None else t.vote in
  { t with term; vote; role = Follower leader }
