open Message
open State

type t = State.t

type input =
  | Received of int * Message.t
  | Propose of { token : int; command : string }
  | Change of { token : int; change : Membership.change }
  | Read of int
  | Flushed
  | Compact of { snapshot : snapshot; keep : int }

let create ~id ~seed ~now ?(settings = default_settings) ~term ~vote ~snapshot log =
  let t =
    {
      id;
      settings;
      seed;
      now;
      term;
      vote;
      log;
      snapshot;
      configuration = snapshot.configuration;
      configured = snapshot.index;
      commit = snapshot.index;
      durable = Log.last log;
      role = Follower None;
      deadline = now;
      heard = neg_infinity;
      receiving = None;
      changed = None;
      installed = None;
      rewrite = false;
      outbox = [];
    }
  in
  restart_timer (refresh_configuration t)

let role_name = function
  | Follower _ | Pre_candidate _ -> "follower"
  | Candidate _ -> "candidate"
  | Leader _ -> "leader"

let deadline t = match t.role with Leader l -> Replication.next_heartbeat t l | _ -> t.deadline

let snapshot_at t index : snapshot =
  let term = Option.get (Log.term t.log index) in
  { index; term; configuration = fst (configuration_at t index) }

(* Messages *)

let with_leader t f = match t.role with Leader l -> f l | _ -> t

(* A response of an earlier term is to a request of that term: it says nothing of this one. *)
let on_leaders_response t ~term f =
  if term > t.term then become_follower t ~term None
  else if term < t.term then t
  else with_leader t f

let receive t from = function
  | Vote_request { pre; term; last_index; last_term } ->
      Election.on_request t from ~pre ~term ~last_index ~last_term
  | Vote_response { pre; term; granted } -> Election.on_response t from ~pre ~term ~granted
  | Append_request { term; round; prev_index; prev_term; entries; commit } ->
      Follower.on_append t from ~term ~round ~prev_index ~prev_term ~entries ~commit
  | Snapshot_request { term; round; snapshot; offset; total; chunk } ->
      Follower.on_snapshot t from ~term ~round ~snapshot ~offset ~total chunk
  | Append_response { term; round; prev_index; outcome } ->
      on_leaders_response t ~term @@ fun l ->
      Replication.on_append_response t l from ~round ~prev_index outcome
  | Snapshot_response { term; round; index; received } ->
      on_leaders_response t ~term @@ fun l ->
      Replication.on_snapshot_response t l from ~round ~index ~received

(* Inputs *)

let compact t (snapshot : snapshot) keep =
  if snapshot.index <= t.snapshot.index then t
  else
    let base = max (Log.base t.log) (snapshot.index - keep) in
    { t with snapshot; log = Log.drop t.log base; rewrite = true }

let handle t input =
  match (input, t.role) with
  | Received (from, message), _ -> receive t from message
  | Flushed, _ -> { t with durable = Log.last t.log }
  | Compact { snapshot; keep }, _ -> compact t snapshot keep
  | Propose { token; command }, Leader _ ->
      let t = append t { term = t.term; payload = Command command } in
      emit (Proposed { token; index = Log.last t.log }) t
  | Change { token; change }, Leader l -> Membership.propose t l token change
  | Read token, Leader l -> Replication.read t l token
  | (Propose { token; _ } | Change { token; _ } | Read token), _ -> emit (Not_leader token) t

(* A leader without a majority steps down, so that its clients find another. *)
let check_time t =
  match t.role with
  | Leader l -> if Replication.is_quorum_heard t l then t else become_follower t ~term:t.term None
  | Follower _ | Pre_candidate _ | Candidate _ ->
      if t.now < t.deadline then t else if may_lead t then Election.begin_ t else restart_timer t

let lead_on t =
  let t = with_leader t (Replication.advance_commit t) in
  let t = with_leader t (Membership.promote t) in
  let t = Replication.answer_reads t in
  let t =
    if is_leader t && Membership.is_removed t then become_follower t ~term:t.term None else t
  in
  Replication.flush t

(* Actions *)

let durable_actions before t =
  let install = match t.installed with Some data -> [ Install (t.snapshot, data) ] | None -> [] in
  let save =
    if (t.term, t.vote) <> (before.term, before.vote) then [ Save { term = t.term; vote = t.vote } ]
    else []
  in
  let append =
    match t.changed with
    | Some first -> [ Append { first; entries = Log.range t.log first (Log.last t.log) } ]
    | None -> []
  in
  install @ if t.rewrite then [ Rewrite ] else save @ append

let role_actions before t =
  if t.term = before.term && role_name t.role = role_name before.role then []
  else [ Became { term = t.term; role = t.role } ]

let step before ~now inputs =
  let t = List.fold_left handle { before with now } inputs in
  let t = lead_on (check_time t) in
  let actions = durable_actions before t @ List.rev t.outbox @ role_actions before t in
  ({ t with changed = None; installed = None; rewrite = false; outbox = [] }, actions)
