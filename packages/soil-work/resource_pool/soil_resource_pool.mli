(** Pools of resources that tasks share, such as connections to a database.

    {[
      Soil.run @@ fun () ->
      Soil.Task.scope @@ fun scope ->
      let pool =
        Soil_resource_pool.create scope "postgresql"
          ~is_healthy:(fun c -> Db.ping c)
          ~close:(fun c -> Db.close c)
          (fun () -> Db.connect ~host:"db.example" ())
      in
      Soil.Tcp.serve listener @@ fun peer ->
      answer peer (Soil_resource_pool.use pool (fun c -> Db.find c "select 1"))
    ]}

    A task {e uses} a resource alone, during a call of {!use}. Between uses the resource is
    {e idle}. Tasks wait in the order of their calls. A resource that is returned goes to the task
    that has waited longest, and wakes no other. Without waiting tasks the next use takes the one
    returned last, so that others grow old and are closed.

    {b Unknown states.} A task that is cancelled or raises while it uses a resource may leave half a
    request in it: the resource is closed instead of returned, unless [keep] says that it's usable
    after that exception.

    {b Opening.} Tasks of the pool open resources, not the tasks that wait: if one of these gives
    up, the opening isn't lost, and serves the next. After a failure there is one attempt at a time,
    and a delay before each, which doubles, as long as tasks wait. A failed attempt raises its
    exception in the tasks that have waited for [attempts] of them. Tasks that come during a delay
    wait for the next attempt.

    {b Domains.} A pool belongs to the domain of its scope, whose tasks use it: in a program with
    {!Soil.Domain} each domain creates one, with its own limits.

    Don't use a pool within a use of the same pool: if all uses do so, each waits for another until
    [wait_seconds] have passed. *)

type 'a t
(** The type for pools of ['a]s. *)

type limits = {
  max_open : int;  (** Resources that are in use, idle, being opened or being closed. At least 1. *)
  max_idle : int;  (** A resource that is returned beyond this number is closed. *)
  max_waiting : int;  (** Tasks that wait; {!use} raises in further ones. *)
  wait_seconds : float;  (** Maximum time in the queue. 0: takes only an idle resource. *)
  attempts : int;  (** Failed attempts to open after which a waiting task gets the exception. *)
  backoff : Soil.Supervisor.backoff;  (** Delays after failed attempts; [jitter] as there. *)
  age_seconds : float;  (** A resource is closed when idle or returned after this time. *)
  age_jitter : float;
      (** From 0 to 1: the part of [age_seconds] of which a random part is subtracted for each
          resource, so that those opened together aren't closed together. *)
  idle_seconds : float;  (** An unused resource is closed after this time. *)
  check_seconds : float;  (** [is_healthy] is called after this time without use. *)
  check_within : float;  (** A resource whose [is_healthy] takes longer is closed. *)
  open_within : float;  (** An attempt to open that takes longer has failed. *)
  close_within : float;  (** [close] is cancelled after this time. *)
}
(** The type for limits. Times are in seconds; [infinity] is no limit. *)

val default_limits : limits
(** [default_limits] is 10 open, all of which may be idle, and 1000 waiting, for at most 30 s; the
    first failed attempt is reported, and the delays are 0.1 s to 2 s, half of them random;
    resources live for 1800 s less up to a tenth, and 600 s without use; they are checked after 1 s
    without use, within 5 s; opened within 30 s, and closed within 5 s. *)

val create :
  ?limits:limits ->
  ?is_healthy:('a -> bool) ->
  ?is_usable:('a -> bool) ->
  ?keep:(exn -> bool) ->
  close:('a -> unit) ->
  Soil.Task.scope ->
  string ->
  (unit -> 'a) ->
  'a t
(** [create scope name ~close open_] is an empty pool. It lasts until the end of [scope], which
    closes all resources and raises {!Soil.exception-Error} with [Closed] in tasks that wait. A
    resource that a task of another scope still uses is closed when that use ends. [name] is the
    subject of errors.

    - [open_ ()] is a new resource. It may wait. If it raises, also because it's cancelled by a time
      limit or the end of [scope], it must have released what it had.
    - [close r] releases [r]. It may wait, and is called once for each resource. Its exceptions are
      ignored.
    - [is_healthy r] (default: [true]) is called before the use of a resource that was idle for
      [check_seconds], such as a query without effect. It may wait. If it is [false] or raises, [r]
      is closed, and the task gets another without losing its place.
    - [is_usable r] (default: [true]) is called after each use: [false] if the connection has
      failed, or is in a transaction, for example. It must not wait.
    - [keep e] (default: [false]) is whether a resource is usable after a use that has raised [e].
      It isn't called for {!Soil.Task.Cancelled}.

    For tasks. Doesn't wait. Raises [Invalid_argument] if a limit is out of range. *)

val use : ?wait_seconds:float -> ?keep:(exn -> bool) -> 'a t -> ('a -> 'b) -> 'b
(** [use t f] is [f r] for a resource [r] of [t]. [wait_seconds] and [keep] default to those of [t].
    Waits for a resource, at most [wait_seconds] in all. For tasks.

    Raises what [f] raises. Before [f] is called, it raises

    - the exception of [open_] after [attempts] failed ones, or if [wait_seconds] have passed while
      they fail; an attempt that takes too long is {!Soil.exception-Error} with [Timed_out];
    - {!Soil.exception-Error} with [Timed_out] if [wait_seconds] have passed, [Busy] if
      [max_waiting] tasks wait already, [Closed] if the pool's scope has ended;
    - [Invalid_argument] in another domain than the pool's. *)

val clear : 'a t -> unit
(** [clear t] closes the idle resources, and the others when they are returned: for a server that
    has moved to another address, or new credentials. Doesn't wait. *)

(** {1:metrics Metrics} *)

(** Why a resource was closed. *)
type reason =
  | Aged  (** After [age_seconds]. *)
  | Unused  (** After [idle_seconds]. *)
  | Surplus  (** There were [max_idle] others. *)
  | Unhealthy  (** [is_healthy] was false, raised, or took too long. *)
  | Unusable  (** [is_usable] was false or raised. *)
  | Interrupted  (** A task was cancelled or raised while it had it. *)
  | Cleared  (** By {!clear}. *)
  | Ended  (** At the end of the pool's scope. *)

val reason_to_string : reason -> string
(** [reason_to_string r] is a word in lower case. *)

type statistics = {
  in_use : int;  (** Now, with those being checked. *)
  idle : int;  (** Now. *)
  opening : int;  (** Attempts to open now, with those that are delayed. *)
  closing : int;  (** Now. *)
  waiting : int;  (** Tasks that wait now. *)
  opened : int;  (** Resources opened so far. *)
  failed : int;  (** Failed attempts so far. *)
  closed : (reason * int) list;  (** So far, for each reason. *)
  uses : int;  (** Resources that tasks got so far. *)
  waited : int;  (** Those of [uses] for which a task waited in the queue. *)
  waited_seconds : float;  (** The sum of their times. *)
  timed_out : int;  (** Uses without a resource within [wait_seconds] so far. *)
  refused : int;  (** Uses refused because of [max_waiting] so far. *)
}
(** The type for statistics. *)

val statistics : 'a t -> statistics
(** [statistics t] is the current state. Doesn't wait, and is for tasks of all domains. *)

val on_use : 'a t -> (float -> unit) -> unit
(** [on_use t f] calls [f s] for each later use, where [s] is the seconds in the queue: 0 for those
    that didn't wait. [f] must not wait or raise. *)

val has_ended : 'a t -> bool
(** [has_ended t] is whether the scope of [t] has ended. *)
