(** A follower's part in replication: entries and snapshots from the leader (thesis, sections 3.5
    and 5). *)

open Message
open State

(* The sender is the leader of [term], the only one. *)
let follow t from ~term =
  let t = become_follower t ~term (Some from) in
  restart_timer { t with heard = t.now }

(* Entries that are there already are kept, also those behind them: the message may be an old one. *)
let rec add t index = function
  | [] -> t
  | (e : entry) :: rest as entries -> (
      match Log.term t.log index with
      | Some term when term = e.term -> add t (index + 1) rest
      | Some _ -> List.fold_left append (truncate t index) entries
      | None -> List.fold_left append t entries)

(* The last entry that may be the leader's, if the one at [prev_index] isn't: the last one of an
   earlier term, because the leader has none of this term there. *)
let hint t prev_index =
  let last = Log.last t.log in
  if last < prev_index then last
  else
    let term = Log.term t.log prev_index in
    let rec before index =
      if index > t.commit && Log.term t.log index = term then before (index - 1) else index
    in
    before (prev_index - 1)

(* Entries up to [from_index] are in the snapshot, and committed: the message begins behind them. *)
let rec skip from_index prev_index (entries : entry list) =
  match entries with
  | _ :: rest when prev_index < from_index -> skip from_index (prev_index + 1) rest
  | _ -> (prev_index, entries)

(* Refuses a request of an earlier term. Its round isn't repeated: the sender may be the leader of the
   current term now, whose rounds begin again. *)
let refuse t from ~prev_index =
  let outcome = Rejected 0 in
  send from (Append_response { term = t.term; round = 0; prev_index; outcome }) t

(** [on_append t from] adds the entries of an [Append_request]. *)
let on_append t from ~term ~round ~prev_index ~prev_term ~entries ~commit =
  let respond t outcome =
    send from (Append_response { term = t.term; round; prev_index; outcome }) t
  in
  if term < t.term then refuse t from ~prev_index
  else
    let t = follow t from ~term in
    let last = prev_index + List.length entries in
    if last <= t.commit then respond t (Accepted last)
    else
      let base = Log.base t.log in
      let at, entries = skip base prev_index entries in
      let fits = prev_index < base || Log.term t.log at = Some prev_term in
      if not fits then respond t (Rejected (hint t prev_index))
      else
        let t = add t (at + 1) entries in
        (* Entries behind [last] may be an earlier leader's. *)
        respond (commit_to t (min commit last)) (Accepted last)

let is_commit = function Commit _ -> true | _ -> false

(* The log behind the snapshot stays if it continues the snapshot. The state machine already is the
   snapshot's when the actions of this step are performed: it has what the step committed before. *)
let install t (snapshot : snapshot) data =
  let log =
    if Log.term t.log snapshot.index = Some snapshot.term then Log.drop t.log snapshot.index
    else Log.create ~base:snapshot.index ~base_term:snapshot.term
  in
  refresh_configuration
    {
      t with
      log;
      snapshot;
      commit = snapshot.index;
      durable = snapshot.index;
      receiving = None;
      installed = Some data;
      rewrite = true;
      changed = None;
      outbox = List.filter (fun action -> not (is_commit action)) t.outbox;
    }

(* The received part of this snapshot, after [chunk] if that is the next part. *)
let receive t snapshot ~offset chunk =
  let r =
    match t.receiving with
    | Some r when r.incoming = snapshot -> r
    | Some _ | None -> { incoming = snapshot; chunks = []; received = 0 }
  in
  if offset = r.received then
    { r with chunks = chunk :: r.chunks; received = r.received + String.length chunk }
  else r

(** [on_snapshot t from] adds a part of a snapshot, and installs the snapshot after its last part.
*)
let on_snapshot t from ~term ~round ~(snapshot : snapshot) ~offset ~total chunk =
  let index = snapshot.index in
  let received t received =
    send from (Snapshot_response { term = t.term; round; index; received }) t
  in
  let accepted t =
    let outcome = Accepted index in
    send from (Append_response { term = t.term; round; prev_index = index; outcome }) t
  in
  if term < t.term then refuse t from ~prev_index:index
  else
    let t = follow t from ~term in
    if index <= t.commit then accepted { t with receiving = None }
    else
      let r = receive t snapshot ~offset chunk in
      if r.received < total then received { t with receiving = Some r } r.received
      else accepted (install t snapshot (String.concat "" (List.rev r.chunks)))
