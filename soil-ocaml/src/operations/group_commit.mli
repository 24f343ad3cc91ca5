(** Group commit: one sync makes the changes of several tasks durable. Private to [soil]. *)

type t

val create : unit -> t

val member : t -> (unit -> 'a) -> 'a
(** [member t f] is [f ()], during which its task counts as a member of the group: others may wait
    for it before they sync. *)

val is_shared : t -> bool
(** [is_shared t] is [true] while there are several members. *)

val commit : t -> (unit -> unit) -> unit
(** [commit t sync] returns when a call of [sync], made by this task or by another one, has begun
    after the call of [commit] and has succeeded. If it raises {!Soil.exception-Error}, all tasks
    that waited for it raise that: after a failed sync, a second one may succeed although data was
    lost. If the task that calls [sync] is cancelled, another one calls its own. Waits. *)
