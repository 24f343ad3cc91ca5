(** Tasks: structured concurrency.

    A {e task} is a computation that runs among others on one processor; it gives way where it
    waits. Tasks live in {e scopes}: a scope ends when its body and all its tasks have, so a task
    never outlives the place that started it, and there is nothing to leak.

    {[
      Soil.run @@ fun () ->
      Soil.Task.scope @@ fun scope ->
      let a = Soil.Task.spawn scope (fun () -> fetch "a") in
      let b = Soil.Task.spawn scope (fun () -> fetch "b") in
      Soil.Task.await a ^ Soil.Task.await b
    ]}

    {b Failure.} An exception that leaves a task, or the body of a scope, cancels everything else in
    the scope, and the scope raises it, with its backtrace, after all have ended. If several fail,
    the first is raised.

    {b Cancellation} is a request: the task gets the exception {!Cancelled} from the next call that
    waits, and from each one after that, so that it unwinds through its [Fun.protect]s and
    [try … with]s. Catch it only to clean up, and raise it again. A task that never waits can't be
    cancelled.

    {b Blocking.} Only Soil's functions let others run while they wait. [Unix.sleepf],
    [Stdlib.input_line] and [read_line], [Unix.read], [Mutex.lock] and whatever else waits in the
    operating system stop all tasks until they return. Use {!Soil.Clock.sleep}, and {!Soil.Reader}
    on {!Soil.File_descriptor.of_console}.

    {b Threads and domains.} Tasks, what they wait for (promises, mutexes, streams, …) and
    {!Soil.run} belong to the program's first thread; in any other ([Thread.create]) they raise
    [Invalid_argument] and do nothing. {!Soil.Inbox} runs functions as tasks from there. All other
    modules can be used in any thread of the first domain, several at once. What waits there needs
    the library [soil.threads] ({!Soil.Threads}), and blocks its thread only, whatever the tasks do;
    it can be given a time by {!timeout} and {!timeout_opt}, which work there too, as does
    {!protect}. Calls that write to one descriptor take turns; those that read from one must not be
    made by two threads at once. {!Soil.Tcp.serve} and {!Soil.Fs.with_lock} are for tasks. In
    another domain ([Domain.spawn]) whatever waits raises [Invalid_argument].

    {b Signals.} An exception that a handler of [Sys.signal] raises ([Sys.Break] of
    [Sys.catch_break] is one) while tasks wait cancels all of them, and {!Soil.run} raises it after
    they have ended; a second one leaves them where they are. It may interrupt a task between two of
    its steps, so what is said below of cancellation doesn't hold for it. Devices never write to
    memory that was freed.

    {b Order.} Tasks run in the order in which they became ready. A task that does I/O that never
    has to wait gives way now and then; one that only computes should {!yield}.

    {b Outside {!Soil.run}} the functions of this module that start tasks behave as if wrapped in
    it. *)

exception Cancelled
(** Raised in a cancelled task where it waits. *)

exception Timeout of float
(** Raised by {!timeout}, with its time in seconds. A limit of the network itself, and the
    [?timeout] of a function, is {!Soil.exception-Error} with [Timed_out] instead. *)

(** {1:scopes Scopes and tasks} *)

type scope
(** The type for scopes. *)

type 'a t
(** The type for tasks with a result of type ['a]. *)

val scope : (scope -> 'a) -> 'a
(** [scope body] is [body s] for a new scope [s], once all tasks in [s] have ended; waits for them.
    If the body or a task fails, the others are cancelled and that exception is raised, with its
    backtrace. *)

val spawn : scope -> (unit -> 'a) -> 'a t
(** [spawn s f] is a new task in [s] that computes [f ()]. It starts when this one next waits.
    Raises [Invalid_argument] if [s] has ended. *)

val spawn_result : scope -> (unit -> 'a) -> ('a, exn) result t
(** [spawn_result s f] is {!spawn}[ s f] for tasks that may fail: an exception of [f] is a value,
    [Error e], and cancels nothing. If the task is cancelled it ends as others do, and {!await}
    raises {!Cancelled}. *)

val spawn_daemon : scope -> (unit -> 'a) -> 'a t
(** [spawn_daemon s f] is {!spawn}[ s f] for a task that [s] doesn't wait for: it is cancelled as
    soon as the body of [s] and all other tasks in it have ended. A failure of it is one of [s], as
    with others. *)

val on_release : scope -> (unit -> unit) -> unit
(** [on_release s f] has [f ()] run at the end of [s], after all its tasks, daemons included, have
    ended, however they did; the function given last runs first. So a scope can own things:

    {[
      let with_log scope name =
        let log = open_log name in
        Soil.Task.on_release scope (fun () -> close_log log);
        log
    ]}

    For descriptors there is {!File_descriptor.own}.

    [f] may wait; a cancellation has no effect on it. If it raises, the others run all the same, and
    [scope] raises that unless it has failed before. Raises [Invalid_argument] if [s] has ended. *)

val await : 'a t -> 'a
(** [await t] waits for the end of [t] and is its result. If [t] failed, its exception is raised
    here too, and {!Cancelled} if it was cancelled. *)

val result : 'a t -> ('a, exn) result option
(** [result t] is [None] as long as [t] runs, and how it ended after that. Doesn't wait. *)

val on_end : 'a t -> (unit -> unit) -> unit
(** [on_end t f] has [f ()] run as [t] ends, before those that {!await} it go on; at once if it has
    ended. A task that is cancelled before its first turn computes nothing, and ends all the same:
    {!result} then is [Some (Error Cancelled)]. [f] must not wait. What it raises fails the scope of
    [t]. *)

val cancel : 'a t -> unit
(** [cancel t] asks [t] to end and doesn't wait for it. That isn't a failure of its scope. It does
    nothing if [t] has ended. *)

val cancel_scope : scope -> unit
(** [cancel_scope s] asks all tasks in [s], and its body, to end. It isn't a failure: [scope] still
    is what its body is, if the body gets that far. *)

val yield : unit -> unit
(** [yield ()] runs the other tasks that are ready, and lets input and output proceed. Raises
    {!Cancelled} if this task was cancelled. *)

val check : unit -> unit
(** [check ()] does nothing. Raises {!Cancelled} if this task was cancelled. *)

val protect : (unit -> 'a) -> 'a
(** [protect f] is [f ()], during which a cancellation from outside has no effect: it is delivered
    where the task waits next after that. For clean-up that waits; keep it short, or put a
    {!timeout} in it. *)

(** {1:together Several at once} *)

val both : (unit -> 'a) -> (unit -> 'b) -> 'a * 'b
(** [both f g] runs [f ()] and [g ()] at the same time and is the pair of their results. If one
    fails the other is cancelled. *)

val all : ?max:int -> (unit -> 'a) list -> 'a list
(** [all l] runs the functions of [l] at the same time, at most [max] of them (default: no limit),
    and is the list of their results in the order of [l]. If one fails the others are cancelled.
    Raises [Invalid_argument] if [max < 1]. *)

val iter : ?max:int -> ('a -> unit) -> 'a list -> unit
(** [iter f l] runs [f x] for the [x] in [l] at the same time, at most [max] of them. As {!all}. *)

val map : ?max:int -> ('a -> 'b) -> 'a list -> 'b list
(** [map f l] is {!iter}[ f l] and the list of the results in the order of [l]. *)

val fold : ?max:int -> ('a -> 'b) -> ('acc -> 'b -> 'acc) -> 'acc -> 'a list -> 'acc
(** [fold f add init l] is {!iter}[ f l] and adds the results by [add], beginning with [init], in
    the order in which they are ready. [add] must not wait. *)

val first : (unit -> 'a) list -> 'a
(** [first l] runs the functions of [l] at the same time and is the result of the first to have one;
    the others are cancelled, and it waits for their end; the result of one that gets through all
    the same is dropped. If one fails before, that is the outcome. Raises [Invalid_argument] if [l]
    is empty. *)

val timeout : float -> (unit -> 'a) -> 'a
(** [timeout s f] is [f ()] if that takes at most [s] seconds; after that [f ()] is cancelled.
    Raises {!exception-Timeout} after the time. If [f] returns all the same, its result counts. *)

val timeout_opt : float -> (unit -> 'a) -> 'a option
(** [timeout_opt s f] is [Some (f ())], or [None] after the time. *)

(** {1:sync Communication} *)

(** Values that become available later. *)
module Promise : sig
  type 'a t
  (** The type for promises of an ['a]. *)

  val create : unit -> 'a t
  (** [create ()] is a promise that isn't fulfilled. *)

  val fulfil : 'a t -> 'a -> unit
  (** [fulfil p v] gives [p] the value [v] and wakes all tasks that wait for it. Raises
      [Invalid_argument] if [p] has a value or an exception. *)

  val try_fulfil : 'a t -> 'a -> bool
  (** [try_fulfil p v] is {!fulfil}[ p v] and [true], or [false] if [p] has a value or an exception.
  *)

  val break : 'a t -> exn -> unit
  (** [break p e] makes every {!await}[ p] raise [e]. Raises [Invalid_argument] if [p] has a value
      or an exception. *)

  val await : 'a t -> 'a
  (** [await p] waits until [p] has a value and is that. *)

  val peek : 'a t -> 'a option
  (** [peek p] is [p]'s value if it has one. Doesn't wait. *)
end

(** Mutual exclusion among tasks, needed only where the protected part waits. *)
module Mutex : sig
  type t
  (** The type for mutexes. *)

  val create : unit -> t
  (** [create ()] is an unlocked mutex. *)

  val lock : t -> unit
  (** [lock m] waits until [m] is unlocked and locks it. Waiting tasks get it in the order in which
      they came. Raises [Invalid_argument] if this task holds [m]. *)

  val try_lock : t -> bool
  (** [try_lock m] locks [m] and is [true], or is [false] if [m] is locked. Doesn't wait. *)

  val unlock : t -> unit
  (** [unlock m] unlocks [m]. Raises [Invalid_argument] if this task doesn't hold [m]. *)

  val protect : t -> (unit -> 'a) -> 'a
  (** [protect m f] is [f ()] with [m] locked; [m] is unlocked when that returns or raises. *)
end

(** Waiting for a condition that another task makes true. *)
module Condition : sig
  type t
  (** The type for condition variables. *)

  val create : unit -> t
  (** [create ()] is a condition without waiters. *)

  val wait : t -> Mutex.t -> unit
  (** [wait c m] unlocks [m], waits for {!signal} or {!broadcast}, and locks [m] again, also when it
      is cancelled. *)

  val wait_no_mutex : t -> unit
  (** [wait_no_mutex c] waits for {!signal} or {!broadcast}. As only one task runs at a time, a
      condition that is tested without waiting in between needs no mutex. *)

  val signal : t -> unit
  (** [signal c] wakes the task that has waited longest, if there is one. *)

  val broadcast : t -> unit
  (** [broadcast c] wakes all waiting tasks. *)
end

(** Counting semaphores. *)
module Semaphore : sig
  type t
  (** The type for semaphores. *)

  val create : int -> t
  (** [create n] is a semaphore with [n] units. Raises [Invalid_argument] if [n < 0]. *)

  val acquire : t -> unit
  (** [acquire s] waits until there is a unit and takes it. First come, first served. *)

  val try_acquire : t -> bool
  (** [try_acquire s] takes a unit and is [true], or is [false] if there is none. Doesn't wait. *)

  val release : t -> unit
  (** [release s] gives a unit back. *)

  val available : t -> int
  (** [available s] is the number of units. *)

  val with_unit : t -> (unit -> 'a) -> 'a
  (** [with_unit s f] is [f ()] between {!acquire} and {!release}. *)
end

(** Bounded queues between tasks. A cancelled {!Stream.push} has put nothing into the stream, a
    cancelled {!Stream.take} has taken nothing. *)
module Stream : sig
  type 'a t
  (** The type for streams of ['a]s. *)

  val create : int -> 'a t
  (** [create capacity] is an empty stream that holds up to [capacity] values; with [0] each {!push}
      waits for its {!take}. Raises [Invalid_argument] if [capacity < 0]. *)

  val push : 'a t -> 'a -> unit
  (** [push s v] waits until there is room and puts [v] at the end. Raises {!Soil.exception-Error}
      with [Closed] if [s] is closed before that. *)

  val try_push : 'a t -> 'a -> bool
  (** [try_push s v] is {!push}[ s v] and [true] if there is room, or [false]. Doesn't wait. Raises
      {!Soil.exception-Error} with [Closed] if [s] is closed. *)

  val take : 'a t -> 'a
  (** [take s] waits until there is a value and takes the oldest. Raises [End_of_file] if [s] is
      closed and empty. *)

  val take_opt : 'a t -> 'a option
  (** [take_opt s] is [Some (take s)], or [None] at the end of the stream. Waits. *)

  val iter : ('a -> unit) -> 'a t -> unit
  (** [iter f s] is [f v] for each value [v] that it takes from [s], up to the end of the stream. *)

  val poll : 'a t -> 'a option
  (** [poll s] takes the oldest value if there is one. Doesn't wait. *)

  val close : 'a t -> unit
  (** [close s] ends the stream: what is in it can still be taken. Closing again does nothing. *)

  val length : 'a t -> int
  (** [length s] is the number of values in the stream. *)
end

module Local = Task_local
(** Values that belong to a task. *)
