(** Elections (Ongaro's thesis, sections 3.4, 3.6.1 and 9.6).

    A server that hears of no leader first asks for {e pre-votes}, which change nothing: so a server
    that was cut off doesn't depose a leader that the others hear. *)

open Message
open State

(** [is_heard t] is [true] iff there is a leader that was heard of lately: such a server votes for
    no other. *)
let is_heard t =
  match t.role with
  | Leader _ -> true
  | Follower (Some _) -> t.now -. t.heard < fst t.settings.election
  | Follower None | Pre_candidate _ | Candidate _ -> false

let is_up_to_date t ~last_index ~last_term =
  let own = Log.last_term t.log in
  last_term > own || (last_term = own && last_index >= Log.last t.log)

let progress t ~next =
  {
    next;
    matched = 0;
    sending = Probe;
    awaiting = false;
    sent = neg_infinity;
    heard = t.now;
    sent_round = 0;
    acked_round = 0;
  }

(* The entry of the new term commits those of earlier terms: a majority with an entry of an earlier
   term isn't enough, because a later leader may still replace it (section 3.6.2). *)
let lead t =
  let next = Log.last t.log + 1 in
  let peers =
    List.fold_left
      (fun peers (m : member) -> Peers.add m.id (progress t ~next) peers)
      Peers.empty (others t)
  in
  let t = { t with role = Leader { start = next; round = 1; peers; reads = [] } } in
  append t { term = t.term; payload = Noop }

let ask_votes t ~pre ~term =
  let last_index = Log.last t.log and last_term = Log.last_term t.log in
  let request = Vote_request { pre; term; last_index; last_term } in
  List.fold_left (fun t (m : member) -> if m.voter then send m.id request t else t) t (others t)

let rec count_votes t =
  match t.role with
  | Pre_candidate votes when majority t (fun id -> Ids.mem id votes) ->
      let t = { t with term = t.term + 1; vote = Some t.id } in
      let t = restart_timer { t with role = Candidate (Ids.singleton t.id) } in
      count_votes (ask_votes t ~pre:false ~term:t.term)
  | Candidate votes when majority t (fun id -> Ids.mem id votes) -> lead t
  | Follower _ | Pre_candidate _ | Candidate _ | Leader _ -> t

(** [begin_ t] asks for pre-votes. *)
let begin_ t =
  let t = restart_timer { t with role = Pre_candidate (Ids.singleton t.id) } in
  count_votes (ask_votes t ~pre:true ~term:(t.term + 1))

(** [on_request t from] answers a request for a vote. A vote is durable before its response leaves.
*)
let on_request t from ~pre ~term ~last_index ~last_term =
  if is_heard t then
    if pre then send from (Vote_response { pre; term = t.term; granted = false }) t else t
  else
    let t = if (not pre) && term > t.term then become_follower t ~term None else t in
    let is_free = match t.vote with None -> true | Some id -> id = from in
    let granted =
      is_up_to_date t ~last_index ~last_term
      && if pre then term > t.term else term = t.term && is_free
    in
    let t =
      if granted && not pre then restart_timer { t with vote = Some from; role = Follower None }
      else t
    in
    let term = if granted then term else t.term in
    send from (Vote_response { pre; term; granted }) t

(** [on_response t from] counts a vote, each server's once. *)
let on_response t from ~pre ~term ~granted =
  match t.role with
  | Pre_candidate votes when pre && granted && term = t.term + 1 ->
      count_votes { t with role = Pre_candidate (Ids.add from votes) }
  | Candidate votes when (not pre) && granted && term = t.term ->
      count_votes { t with role = Candidate (Ids.add from votes) }
  | (Follower _ | Pre_candidate _ | Candidate _ | Leader _) when (not granted) && term > t.term ->
      become_follower t ~term None
  | Follower _ | Pre_candidate _ | Candidate _ | Leader _ -> t
