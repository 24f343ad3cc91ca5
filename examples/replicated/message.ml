(** Messages between servers, and the entries of the log. *)

type member = {
  id : int;
  address : string;  (** Of the port for servers, such as ["10.0.0.1:7000"]. *)
  voter : bool;  (** Otherwise a learner, which gets the log, and has no vote. *)
}

type configuration = member list
(** Sorted by [id]. *)

type payload =
  | Noop  (** The first entry of each leader. *)
  | Configuration of configuration
  | Command of string  (** For the state machine. *)

type entry = { term : int; payload : payload }

type snapshot = {
  index : int;  (** The last entry that the snapshot contains. *)
  term : int;  (** The term of that entry. *)
  configuration : configuration;  (** The configuration at that entry. *)
}
(** The description of a snapshot. *)

type outcome =
  | Accepted of int  (** The log is the leader's up to this index, and durable. *)
  | Rejected of int
      (** The log doesn't have the previous entry; it may be the leader's up to here. *)

(** Each message has the term of its sender, except a request for a pre-vote: it has the term that
    the sender would begin. A [round] is the number of the leader's latest round of heartbeats; the
    response repeats it. *)
type t =
  | Vote_request of { pre : bool; term : int; last_index : int; last_term : int }
  | Vote_response of { pre : bool; term : int; granted : bool }
  | Append_request of {
      term : int;
      round : int;
      prev_index : int;
      prev_term : int;
      entries : entry list;
      commit : int;
    }
  | Append_response of { term : int; round : int; prev_index : int; outcome : outcome }
  | Snapshot_request of {
      term : int;
      round : int;
      snapshot : snapshot;
      offset : int;  (** Of [chunk] in the snapshot's data. *)
      total : int;  (** Bytes of the snapshot's data. *)
      chunk : string;
    }
  | Snapshot_response of { term : int; round : int; index : int; received : int }

(* Encoding *)

open Wire

let member b m =
  int b m.id;
  string b m.address;
  bool b m.voter

let to_member i =
  let id = to_int i in
  let address = to_string i in
  { id; address; voter = to_bool i }

let configuration = list member
let to_configuration = to_list to_member

let entry b (e : entry) =
  int b e.term;
  match e.payload with
  | Noop -> byte b 0
  | Configuration c ->
      byte b 1;
      configuration b c
  | Command s ->
      byte b 2;
      string b s

let to_entry i : entry =
  let term = to_int i in
  match to_byte i with
  | 0 -> { term; payload = Noop }
  | 1 -> { term; payload = Configuration (to_configuration i) }
  | 2 -> { term; payload = Command (to_string i) }
  | tag -> unknown "entry" tag

let snapshot b s =
  int b s.index;
  int b s.term;
  configuration b s.configuration

let to_snapshot i =
  let index = to_int i in
  let term = to_int i in
  { index; term; configuration = to_configuration i }

let encoder b = function
  | Vote_request m ->
      byte b 0;
      bool b m.pre;
      List.iter (int b) [ m.term; m.last_index; m.last_term ]
  | Vote_response m ->
      byte b 1;
      bool b m.pre;
      int b m.term;
      bool b m.granted
  | Append_request m ->
      byte b 2;
      List.iter (int b) [ m.term; m.round; m.prev_index; m.prev_term; m.commit ];
      list entry b m.entries
  | Append_response m ->
      byte b 3;
      let accepted, index =
        match m.outcome with Accepted index -> (true, index) | Rejected index -> (false, index)
      in
      List.iter (int b) [ m.term; m.round; m.prev_index; index ];
      bool b accepted
  | Snapshot_request m ->
      byte b 4;
      List.iter (int b) [ m.term; m.round; m.offset; m.total ];
      snapshot b m.snapshot;
      string b m.chunk
  | Snapshot_response m ->
      byte b 5;
      List.iter (int b) [ m.term; m.round; m.index; m.received ]

let decoder i =
  match to_byte i with
  | 0 ->
      let pre = to_bool i in
      let term = to_int i in
      let last_index = to_int i in
      Vote_request { pre; term; last_index; last_term = to_int i }
  | 1 ->
      let pre = to_bool i in
      let term = to_int i in
      Vote_response { pre; term; granted = to_bool i }
  | 2 ->
      let term = to_int i in
      let round = to_int i in
      let prev_index = to_int i in
      let prev_term = to_int i in
      let commit = to_int i in
      let entries = to_list to_entry i in
      Append_request { term; round; prev_index; prev_term; entries; commit }
  | 3 ->
      let term = to_int i in
      let round = to_int i in
      let prev_index = to_int i in
      let index = to_int i in
      let outcome = if to_bool i then Accepted index else Rejected index in
      Append_response { term; round; prev_index; outcome }
  | 4 ->
      let term = to_int i in
      let round = to_int i in
      let offset = to_int i in
      let total = to_int i in
      let snapshot = to_snapshot i in
      Snapshot_request { term; round; snapshot; offset; total; chunk = to_string i }
  | 5 ->
      let term = to_int i in
      let round = to_int i in
      let index = to_int i in
      Snapshot_response { term; round; index; received = to_int i }
  | tag -> unknown "message" tag
