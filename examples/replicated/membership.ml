(** Changes of the members, one server at a time (thesis, chapter 4).

    The majorities of two configurations that differ in one voter overlap, so that a server uses a
    configuration as soon as it is in its log. A new server is a learner first; it becomes a voter
    once it has the leader's log. *)

open Message
open State

type change = Add of { id : int; address : string } | Remove of int

(* A change begins after the one before is committed, and after an entry of this term is: otherwise
   two leaders could each have a change in progress. *)
let is_free t l = t.configured <= t.commit && l.start <= t.commit
let by_id (a : member) (b : member) = Int.compare a.id b.id

let apply configuration = function
  | Remove id -> List.filter (fun (m : member) -> m.id <> id) configuration
  | Add { id; address } when not (List.exists (fun (m : member) -> m.id = id) configuration) ->
      List.sort by_id ({ id; address; voter = false } :: configuration)
  | Add _ -> configuration

(* The leader has a progress for each member of its latest configuration. *)
let append_configuration t l configuration =
  let t = append t { term = t.term; payload = Configuration configuration } in
  let peer peers (m : member) =
    let p =
      match Peers.find_opt m.id l.peers with
      | Some p -> p
      | None -> Election.progress t ~next:(Log.last t.log)
    in
    Peers.add m.id p peers
  in
  let peers = List.fold_left peer Peers.empty (others t) in
  { t with role = Leader { l with peers } }

(** [propose t l token change] appends the changed configuration, or refuses. *)
let propose t l token change =
  let configuration = apply t.configuration change in
  if not (is_free t l) then
    emit (Refused (token, "another change of the members is in progress: try again later")) t
  else if not (List.exists (fun (m : member) -> m.voter) configuration) then
    emit (Refused (token, "the last voter can't be removed: add another server first")) t
  else
    let t = append_configuration t l configuration in
    emit (Proposed { token; index = Log.last t.log }) t

(** [promote t l] makes a learner a voter that has all committed entries. *)
let promote t l =
  let is_caught_up (m : member) =
    (not m.voter)
    &&
    match Peers.find_opt m.id l.peers with
    | Some p -> p.sending = Pipeline && p.matched >= t.commit
    | None -> false
  in
  match List.find_opt is_caught_up t.configuration with
  | Some learner when is_free t l ->
      let promoted (m : member) = if m.id = learner.id then { m with voter = true } else m in
      append_configuration t l (List.map promoted t.configuration)
  | Some _ | None -> t

(** [is_removed t] is [true] iff a committed configuration doesn't have this server as a voter. *)
let is_removed t = t.configured <= t.commit && not (is_voter t t.id)
