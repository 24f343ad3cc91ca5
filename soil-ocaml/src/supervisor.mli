(** Services whose parts fail and are started again.

    A {e supervisor} runs named {e children}, each in a scope of its own. It starts them in the
    order in which they are added, starts those again that fail, and stops them in reverse order. A
    service is a tree of supervisors, and its {!health} is a value.

    {[
      Soil.run @@ fun () ->
      Soil.Supervisor.run @@ fun s ->
      let store = Soil.Supervisor.add s "store" (fun scope -> open_store scope) in
      let listen scope = Soil.File_descriptor.own scope (Soil.Tcp.listen ~port:80 ()) in
      let serve listener =
        Soil.Tcp.serve listener (fun c -> answer c (Soil.Supervisor.get store))
      in
      ignore (Soil.Supervisor.add s "http" listen ~run:serve)
    ]}

    The port is opened when the store is there. If the store fails, its scope ends, so that what it
    owned is closed; then it is opened again, and clients wait in {!get} meanwhile. If it fails too
    often, [http] is stopped, and {!run} raises {!Gave_up}, which ends the program. When the machine
    is asked to stop, [http] is stopped first, then the store.

    {b A child} is two functions. [start] makes what the child is for (a connection, a listener, a
    cache that is read from a disk); the child is {e ready} when it has returned. [run] then works
    with that. The child ends when [run] has returned or raised an exception and all tasks of its
    scope have ended. A child without [run] is a resource: it lasts until it is stopped or a task of
    its scope fails.

    {b Isolation.} An exception of a child never reaches its supervisor or its siblings: it is the
    {!reason} of the child's end, and what follows is decided by {!type-restart}, {!type-rule} and
    {!type-limit}. A child that has ended leaves no tasks, and what it gave to {!Task.on_release} is
    released, before it is started again.

    {b Stopping} a child is cancelling it (see {!module-Task}): it unwinds where it waits. A child
    that hasn't ended after the time that it has for this is {!Overdue}: it can't be ended by force,
    since it uses its memory, so the supervisor goes on with stopping the others, and waits for it
    at the end.

    All functions are for tasks of the program's first thread. *)

type t
(** The type for supervisors. *)

(** {1:rules Rules} *)

(** When a child is started again. *)
type restart =
  | Always  (** Whatever way it ended: a service. *)
  | On_failure  (** Unless its [run] returned: work that has to be done once. *)
  | Never

(** Which children are stopped and started again when one has to be started again. *)
type rule =
  | One  (** That one: the others work without it, or wait for it by {!get}. *)
  | All  (** All: none works without the others. *)
  | Rest  (** That one and those after it: each needs those that were added before it. *)

type limit = {
  restarts : int;  (** At least 0. [max_int] is no limit. *)
  within : float;  (** Seconds, more than 0. *)
}
(** The type for limits on how often the children of a supervisor may fail: if more than [restarts]
    ends in [within] seconds ask for a restart, the supervisor itself fails. *)

type backoff = {
  first : float;  (** Seconds before the first restart; 0 is at once. *)
  most : float;  (** Seconds, at least [first]. *)
  jitter : float;  (** From 0 to 1: the part of the delay that is random. *)
}
(** The type for the delays before restarts. They double with each failure of the child. A child
    that was ready for [most] seconds begins with [first] again. *)

val delay : backoff -> failures:int -> random:float -> float
(** [delay b ~failures ~random] is the delay in seconds after the [failures]th failure in a row:
    [min b.most (b.first *. 2. ** (failures - 1)) *. (1. -. b.jitter *. random)], where [random] is
    uniform from 0 to 1. *)

val default_limit : limit
(** [default_limit] is 5 restarts within 30 seconds. *)

val default_backoff : backoff
(** [default_backoff] is 0.1 s at first and 10 s at most, half of it random. *)

(** {1:health Health} *)

(** Why a child ended. *)
type reason =
  | Returned  (** Its [run] returned. *)
  | Failed of exn * Printexc.raw_backtrace
  | Late  (** It wasn't ready in time. *)
  | Stopped  (** It was asked to. *)

(** The type for states of a child. *)
type state =
  | Starting  (** It runs, and isn't ready yet. *)
  | Ready
  | Waiting of float
      (** It doesn't run; it is started at this moment of {!Clock.monotonic}, or later if it has to
          wait for others. *)
  | Stopping  (** It unwinds. *)
  | Overdue  (** It has been unwinding for longer than it has time for. *)
  | Ended of reason  (** It won't be started again. *)

type health = {
  name : string;
  state : state;
  restarts : int;  (** How often it was started again, for whatever reason. *)
  last : reason option;  (** Why it ended the last time, if it did. *)
  children : health list;  (** Those of a supervisor that runs, in order. *)
}
(** The type for a child's health. *)

val health : t -> health list
(** [health s] is the health of the children of [s], in order. Doesn't wait. *)

val is_up : t -> bool
(** [is_up s] is [true] iff the function given to {!run} has returned, [s] isn't being stopped, and
    each child, those of supervisors below included, is [Ready] or [Ended Returned]. *)

val health_to_string : health list -> string
(** [health_to_string l] has a line for each child, such as
    ["store: ready, 2 restarts, the last time: Soil.Error: read /data/a: input/output error\n"];
    those of a supervisor follow it, indented. *)

val pp_health : Format.formatter -> health list -> unit
(** [pp_health f l] prints [health_to_string l]. *)

val reason_to_string : reason -> string
(** [reason_to_string r] is one line, without a period. *)

val pp_reason : Format.formatter -> reason -> unit
(** [pp_reason f r] prints [reason_to_string r]. *)

(** {1:supervisors Supervisors} *)

exception Gave_up of { message : string; child : string; reason : reason }
(** Raised by {!run} if children failed more often than the limit allows, after all were stopped.
    [child] is the one whose end was too much, and [reason] that end's; [message] has both in one
    line. *)

val run :
  ?rule:rule ->
  ?limit:limit ->
  ?backoff:backoff ->
  ?report:(string -> health -> unit) ->
  (t -> unit) ->
  unit
(** [run body] is [body s] for a new supervisor [s], which has no children yet: [body] adds them.
    When [body] has returned, [run] waits until {!stop}. However [run] ends, the children have been
    stopped before, the youngest first, each when the one after it has ended. That happens

    - after {!stop}[ s]: [run] returns;
    - if the task is cancelled, as that of {!Soil.run} is when the machine is asked to stop: [run]
      raises {!Task.Cancelled};
    - if [body] raises an exception: [run] raises it;
    - if children fail too often: [body] is cancelled, and [run] raises {!Gave_up}.

    [rule] is [One] unless given, [limit] {!default_limit}, and [backoff] {!default_backoff}. Under
    [All] and [Rest] a child starts only when all before it are ready or have ended for good.

    [report path h] is called after each change of the state of a child; [path] is its name after
    those of the supervisors below the first, such as ["workers/a"]. It must not wait. By default
    ends by [Failed] and [Late] are reported on standard error.

    Raises [Invalid_argument] if a number is out of its range. *)

val stop : t -> unit
(** [stop s] stops all children, the youngest first, and waits until they have ended; {!run} returns
    when [body] has. In a child of [s] it raises {!Task.Cancelled}, as that child is stopped. *)

(** {1:children Children} *)

type 'a child
(** The type for children that work with an ['a]. *)

val add :
  ?restart:restart ->
  ?start_within:float ->
  ?stop_within:float ->
  ?run:('a -> unit) ->
  t ->
  string ->
  (Task.scope -> 'a) ->
  'a child
(** [add s name start ~run] starts a child and waits until it is ready, with restarts in between if
    it fails, or has ended for good. It comes after those that [s] has. It can be called as long as
    [s] runs, also by children.

    [start scope] gets the child's scope, a new one each time; [run] its result. [restart] is
    [Always] unless given. A child that isn't ready within [start_within] seconds (default: no
    limit) is stopped, and has failed; one that is stopped is [Overdue] after [stop_within] seconds
    (default: 5).

    Raises [Invalid_argument] if [s] has a child [name], ended ones included, if [name] is empty or
    has a slash or a line break, or if a time is negative; {!Soil.exception-Error} with [Closed] if
    [s] is being stopped. *)

val add_supervisor :
  ?restart:restart ->
  ?stop_within:float ->
  ?rule:rule ->
  ?limit:limit ->
  ?backoff:backoff ->
  t ->
  string ->
  (t -> unit) ->
  unit child
(** [add_supervisor s name body] is {!add} for a child that is a supervisor, as {!run} makes it of
    the other arguments. It is ready when [body] has returned, which is called each time that it is
    started; if its own children fail too often, it has failed with {!Gave_up}. [stop_within] is
    without limit unless given: its children have times of their own. *)

exception Gone of string * reason
(** Raised by {!get} if the child of this name has ended for good. *)

val get : 'a child -> 'a
(** [get c] is what [start] returned, of the child that runs now; waits until it is ready. Ask each
    time: after a restart it is another. Raises {!Gone} if the child has ended for good. In the
    [start] of a child, [get] of one that comes after it waits for ever if that waits for this one.
*)

val get_opt : 'a child -> 'a option
(** [get_opt c] is [Some (get c)] if the child is ready. Doesn't wait. *)

val remove : 'a child -> unit
(** [remove c] stops the child, waits until it has ended, and takes it out of its supervisor, whose
    other children aren't concerned. Does nothing if that was done before. In that child itself it
    raises {!Task.Cancelled}. *)
