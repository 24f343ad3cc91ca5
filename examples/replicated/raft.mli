(** The protocol (Raft, as in Ongaro's thesis "Consensus: bridging theory and practice") as a pure
    function: a state, the time and inputs give a state and actions.

    The caller performs the actions in their order. What a message promises, a vote or an accepted
    entry, is durable because {!State.action.Save}, [Append], [Rewrite] and [Install] come before
    the messages, and return when the disk has flushed them. *)

type t = State.t

type input =
  | Received of int * Message.t  (** From the server with this number. *)
  | Propose of { token : int; command : string }
      (** An entry for the state machine. The action [Proposed] or [Not_leader] follows. *)
  | Change of { token : int; change : Membership.change }
      (** [Proposed], [Not_leader] or [Refused] follows. *)
  | Read of int  (** [Read_ready] follows once a linearizable read is possible, or [Not_leader]. *)
  | Flushed  (** All actions of earlier steps are durable. *)
  | Compact of { snapshot : Message.snapshot; keep : int }
      (** The snapshot is durable: all entries before it but the last [keep] can go. *)

val create :
  id:int ->
  seed:int ->
  now:float ->
  ?settings:State.settings ->
  term:int ->
  vote:int option ->
  snapshot:Message.snapshot ->
  Log.t ->
  t
(** [create ~id ~seed ~now ~term ~vote ~snapshot log] is a follower with the state of its disk.
    [seed] makes its timeouts random. Times are in seconds of one monotonic clock. *)

val step : t -> now:float -> input list -> t * State.action list
(** [step t ~now inputs] handles the inputs, and all that is due at the time [now]. Raises [Failure]
    if the servers' logs contradict each other, after the loss of durable data. *)

val deadline : t -> float
(** [deadline t] is the time of the next {!step}, if there is no input before. *)

val snapshot_at : t -> int -> Message.snapshot
(** [snapshot_at t index] describes a snapshot of the state machine after the entry [index], which
    is in the log. *)

val role_name : State.role -> string
(** [role_name role] is ["follower"], ["candidate"] or ["leader"]. *)
