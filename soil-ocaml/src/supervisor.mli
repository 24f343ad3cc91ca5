(** Services with parts that restart after failures.

    A {e supervisor} runs named {e children}, each in its own scope. It starts them in the order in
    which they are added, restarts those that fail, and stops them in reverse order. A service is a
    tree of supervisors, and its {!health} is a value.

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

    The port is opened when the store is ready. If the store fails, its scope ends and releases its
    resources; then it is reopened, while clients wait in {!get}. If it fails too often, [http] is
    stopped, and {!run} raises {!Gave_up}, which ends the program. When the machine is asked to
    stop, [http] is stopped first, then the store.

    {b A child} is two functions. [start] creates the child's value (a connection, a listener, a
    cache that is read from a disk); the child is {e ready} when it has returned. [run] then works
    with that value. The child ends when [run] has returned or raised an exception and all tasks of
    its scope have ended. A child without [run] is a resource: it lasts until it is stopped or a
    task of its scope fails.

    {b Isolation.} An exception of a child never reaches its supervisor or its siblings: it is the
    {!reason} of the child's end, and {!type-restart}, {!type-rule} and {!type-limit} decide what
    follows. Before a restart all tasks of the child have ended, and its {!Task.on_release}
    functions have run.

    {b Stopping} a child cancels it (see {!module-Task}): it unwinds where it waits. A child that
    hasn't ended within its time limit is {!Overdue}: it can't be killed, because it uses its
    memory, so the supervisor stops the others, and waits for it at the end.

    All functions are for tasks of the program's first thread. *)

type t
(** The type for supervisors. *)

(** {1:rules Rules} *)

(** When a child restarts. *)
type restart =
  | Always  (** After any end: a service. *)
  | On_failure  (** Unless its [run] returned: one-off work. *)
  | Never

(** Which children restart when one restarts. *)
type rule =
  | One  (** That one: the others work without it, or wait for it in {!get}. *)
  | All  (** All: they depend on each other. *)
  | Rest  (** That one and those after it: each depends on those added before it. *)

type limit = {
  restarts : int;  (** At least 0. [max_int] is no limit. *)
  within : float;  (** Seconds, more than 0. *)
}
(** The type for restart limits: a supervisor fails if its children need more than [restarts]
    restarts in [within] seconds. *)

type backoff = {
  first : float;  (** Seconds before the first restart; 0 for none. *)
  most : float;  (** Seconds, at least [first]. *)
  jitter : float;  (** From 0 to 1: the random part of the delay. *)
}
(** The type for the delays before restarts. They double with each failure of the child. A child
    that was ready for [most] seconds starts with [first] again. *)

val delay : backoff -> failures:int -> random:float -> float
(** [delay b ~failures ~random] is the delay in seconds after the [failures]th failure in a row:
    [min b.most (b.first *. 2. ** (failures - 1)) *. (1. -. b.jitter *. random)], where [random] is
    uniform from 0 to 1. *)

val default_limit : limit
(** [default_limit] is 5 restarts within 30 seconds. *)

val default_backoff : backoff
(** [default_backoff] is 0.1 s initially and at most 10 s, half of it random. *)

(** {1:health Health} *)

(** Why a child ended. *)
type reason =
  | Returned  (** Its [run] returned. *)
  | Failed of exn * Printexc.raw_backtrace
  | Late  (** It wasn't ready in time. *)
  | Stopped  (** It was stopped. *)

(** The type for states of a child. *)
type state =
  | Starting  (** It runs, but isn't ready yet. *)
  | Ready
  | Waiting of float
      (** It doesn't run; it restarts at this time of {!Clock.monotonic}, or later if it waits for
          others. *)
  | Stopping  (** It unwinds. *)
  | Overdue  (** It has been unwinding for longer than its limit. *)
  | Ended of reason  (** It won't restart. *)

type health = {
  name : string;
  state : state;
  restarts : int;  (** Number of restarts, for any reason. *)
  last : reason option;  (** The reason of its last end, if any. *)
  children : health list;  (** The children of a running supervisor, in order. *)
}
(** The type for a child's health. *)

val health : t -> health list
(** [health s] is the health of the children of [s], in order. Doesn't wait. *)

val is_up : t -> bool
(** [is_up s] is [true] iff the function passed to {!run} has returned, [s] isn't being stopped, and
    each child, including those of nested supervisors, is [Ready] or [Ended Returned]. *)

val health_to_string : health list -> string
(** [health_to_string l] has a line for each child, such as
    ["store: ready, 2 restarts, the last time: Soil.Error: read /data/a: input/output error\n"]; a
    supervisor's children follow it, indented. *)

val pp_health : Format.formatter -> health list -> unit
(** [pp_health f l] prints [health_to_string l]. *)

val reason_to_string : reason -> string
(** [reason_to_string r] is one line, without a period. *)

val pp_reason : Format.formatter -> reason -> unit
(** [pp_reason f r] prints [reason_to_string r]. *)

(** {1:supervisors Supervisors} *)

exception Gave_up of { message : string; child : string; reason : reason }
(** Raised by {!run} if children failed more often than the limit allows, after all were stopped.
    [child] is the last one to fail, and [reason] the reason; [message] has both in one line. *)

val run :
  ?rule:rule ->
  ?limit:limit ->
  ?backoff:backoff ->
  ?report:(string -> health -> unit) ->
  (t -> unit) ->
  unit
(** [run body] is [body s] for a new supervisor [s], which has no children yet: [body] adds them.
    When [body] has returned, [run] waits until {!stop}. Before [run] ends, it stops the children
    one at a time, the youngest first. It ends

    - after {!stop}[ s]: [run] returns;
    - if the task is cancelled, as by {!Soil.run} when the machine is asked to stop: [run] raises
      {!Task.Cancelled};
    - if [body] raises an exception: [run] raises it;
    - if children fail too often: [body] is cancelled, and [run] raises {!Gave_up}.

    The defaults are [One] for [rule], {!default_limit} and {!default_backoff}. Under [All] and
    [Rest] a child starts only when all before it are ready or have ended permanently.

    [report path h] is called after each change of a child's state; [path] is its name, prefixed
    with those of nested supervisors, such as ["workers/a"]. It must not wait. The default prints
    ends by [Failed] and [Late] on standard error.

    Raises [Invalid_argument] if a number is out of its range. *)

val stop : t -> unit
(** [stop s] stops all children, the youngest first, and waits until they have ended; {!run} returns
    when [body] has. Called in a child of [s] it raises {!Task.Cancelled}, because that child is
    stopped. *)

(** {1:children Children} *)

type 'a child
(** The type for children with a value of type ['a]. *)

val add :
  ?restart:restart ->
  ?start_within:float ->
  ?stop_within:float ->
  ?run:('a -> unit) ->
  t ->
  string ->
  (Task.scope -> 'a) ->
  'a child
(** [add s name start ~run] starts a child, after the existing ones of [s], and waits until it is
    ready, possibly after restarts, or has ended permanently. It can be called as long as [s] runs,
    also by children.

    [start scope] gets the child's scope, a new one for each start; [run] gets its result. [restart]
    defaults to [Always]. A child that isn't ready within [start_within] seconds (default: no limit)
    is stopped, and has failed; one that is being stopped is [Overdue] after [stop_within] seconds
    (default: 5).

    Raises [Invalid_argument] if [s] has a child [name], including ended ones, if [name] is empty or
    contains a slash or a line break, or if a time is negative; {!Soil.exception-Error} with
    [Closed] if [s] is being stopped. *)

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
(** [add_supervisor s name body] is {!add} for a child that is a supervisor; the other arguments are
    as in {!run}. It is ready when [body] has returned, which is called for each start; if its own
    children fail too often, it fails with {!Gave_up}. [stop_within] has no limit by default: its
    children have their own. *)

exception Gone of string * reason
(** Raised by {!get} if the child of this name has ended permanently. *)

val get : 'a child -> 'a
(** [get c] is the current value of the child, as returned by [start]; waits until it is ready. Call
    it for each use: after a restart the value is another. Raises {!Gone} if the child has ended
    permanently. A deadlock results if [start] of a child gets a later one that waits for it. *)

val get_opt : 'a child -> 'a option
(** [get_opt c] is [Some (get c)] if the child is ready. Doesn't wait. *)

val remove : 'a child -> unit
(** [remove c] stops the child, waits until it has ended, and removes it from its supervisor,
    without affecting other children. Does nothing if called before. Called in that child it raises
    {!Task.Cancelled}. *)
