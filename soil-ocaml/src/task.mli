(** Tasks: structured concurrency.

    A {e task} is a cooperative thread: tasks share one processor, and a task yields where it waits.
    Tasks live in {e scopes}: a scope ends when its body and all its tasks have ended, so a task
    never outlives the code that started it and can't leak.

    {[
      Soil.run @@ fun () ->
      Soil.Task.scope @@ fun scope ->
      let a = Soil.Task.spawn scope (fun () -> fetch "a") in
      let b = Soil.Task.spawn scope (fun () -> fetch "b") in
      Soil.Task.await a ^ Soil.Task.await b
    ]}

    {b Failure.} An exception of a task, or of the body of a scope, cancels everything else in the
    scope, and the scope raises it, with its backtrace, after all have ended. If several fail, the
    first is raised.

    {b Cancellation} is a request: the task's next call that waits raises {!Cancelled}, and so does
    each later one, so that the task unwinds through its [Fun.protect]s and [try … with]s. Catch it
    only to clean up, and re-raise it. A task that never waits can't be cancelled.

    {b Blocking.} Only Soil's functions let other tasks run while they wait. [Unix.sleepf],
    [Stdlib.input_line] and [read_line], [Unix.read], [Mutex.lock] and other blocking system calls
    stop all tasks until they return. Use {!Soil.Clock.sleep}, and {!Soil.Reader} on
    {!Soil.File_descriptor.of_console}.

    {b Threads and domains.} Tasks, their synchronisation (promises, mutexes, streams, …) and
    {!Soil.run} belong to the program's first thread; in any other ([Thread.create]) they raise
    [Invalid_argument] and do nothing. {!Soil.Inbox} runs functions as tasks from there. All other
    modules can be used in any thread of the first domain, also concurrently. Calls that wait there
    need the library [soil.threads] ({!Soil.Threads}), and block their thread only; {!timeout},
    {!timeout_opt} and {!protect} work there too. Writes to one descriptor are serialised; two
    threads must not read from one descriptor at the same time. {!Soil.Tcp.serve} and
    {!Soil.Fs.with_lock} are for tasks. {!Soil.Domain} starts domains that have tasks of their own,
    and says what works between them. In any other domain ([Stdlib.Domain.spawn]) calls that wait
    raise [Invalid_argument], and so does what uses descriptors, the network, disks or random
    numbers, in a process and in an image.

    {b Signals.} An exception of a signal handler ([Sys.signal], or [Sys.Break] of
    [Sys.catch_break]) while tasks wait cancels all of them, and {!Soil.run} raises it after they
    have ended; a second one abandons them. It may interrupt a task at any point, so the guarantees
    below for cancellation don't hold for it. Devices never write to freed memory.

    {b Order.} Tasks run in the order in which they became ready. A task whose I/O never has to wait
    yields from time to time; one that only computes should {!yield}.

    {b Outside {!Soil.run}} the functions of this module that start tasks behave as if wrapped in
    it. *)

exception Cancelled
(** Raised in a cancelled task by calls that wait. *)

exception Timeout of float
(** Raised by {!timeout}, with its time in seconds. The network's own timeouts, and the [?timeout]
    of a function, raise {!Soil.exception-Error} with [Timed_out] instead. *)

(** {1:scopes Scopes and tasks} *)

type scope
(** The type for scopes. *)

type 'a t
(** The type for tasks with a result of type ['a]. *)

val scope : (scope -> 'a) -> 'a
(** [scope body] is [body s] for a new scope [s]; it waits until all tasks in [s] have ended. If the
    body or a task fails, it cancels the others and raises the exception, with its backtrace. *)

val spawn : scope -> (unit -> 'a) -> 'a t
(** [spawn s f] is a new task in [s] that computes [f ()]. It starts when this one next waits.
    Raises [Invalid_argument] if [s] has ended. *)

val spawn_result : scope -> (unit -> 'a) -> ('a, exn) result t
(** [spawn_result s f] is {!spawn}[ s f] for tasks that may fail: an exception of [f] is a value,
    [Error e], and cancels nothing. A cancelled task ends as usual, and {!await} raises
    {!Cancelled}. *)

val spawn_daemon : ?protected:bool -> scope -> (unit -> 'a) -> 'a t
(** [spawn_daemon s f] is {!spawn}[ s f] for a task that [s] doesn't wait for: it is cancelled as
    soon as the body of [s] and all other tasks in it have ended. Its failure fails [s], as with
    other tasks. If [protected] (default: [false]), the cancellation of [s] doesn't reach it before
    that: it serves the other tasks while they unwind. *)

val on_release : scope -> (unit -> unit) -> unit
(** [on_release s f] runs [f ()] at the end of [s], after all its tasks, including daemons, have
    ended in any way; the last function runs first. So a scope can own resources:

    {[
      let with_log scope name =
        let log = open_log name in
        Soil.Task.on_release scope (fun () -> close_log log);
        log
    ]}

    For descriptors there is {!File_descriptor.own}. [f] may wait; a cancellation has no effect on
    it. If it raises, the others still run, and [scope] raises the exception unless it has failed
    before. Raises [Invalid_argument] if [s] has ended. *)

val await : 'a t -> 'a
(** [await t] waits for the end of [t] and is its result. Raises the exception of [t] if it failed,
    and {!Cancelled} if it was cancelled. *)

val result : 'a t -> ('a, exn) result option
(** [result t] is [None] as long as [t] runs, then its result. Doesn't wait. *)

val on_end : 'a t -> (unit -> unit) -> unit
(** [on_end t f] runs [f ()] when [t] ends, before tasks that {!await} it resume; at once if it has
    ended. A task that is cancelled before it starts runs no code, and still ends: {!result} then is
    [Some (Error Cancelled)]. [f] must not wait. Its exception fails the scope of [t]. *)

val cancel : 'a t -> unit
(** [cancel t] asks [t] to end and doesn't wait for it. This doesn't fail its scope. Does nothing if
    [t] has ended. *)

val cancel_scope : scope -> unit
(** [cancel_scope s] asks all tasks in [s], and its body, to end. It isn't a failure: [scope] still
    returns the body's result, if there is one. *)

val yield : unit -> unit
(** [yield ()] runs the other tasks that are ready, and lets input and output proceed. Raises
    {!Cancelled} if this task was cancelled. *)

val check : unit -> unit
(** [check ()] does nothing. Raises {!Cancelled} if this task was cancelled. *)

val protect : (unit -> 'a) -> 'a
(** [protect f] is [f ()], during which a cancellation from outside has no effect: it is delivered
    at the next wait after that. For clean-up that waits; keep it short, or use {!timeout} inside.
*)

(** {1:together Concurrency} *)

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
(** [first l] runs the functions of [l] at the same time and is the first result; it cancels the
    others and waits for their end; a further result is dropped. If one fails first, [first] raises
    its exception. Raises [Invalid_argument] if [l] is empty. *)

val timeout : float -> (unit -> 'a) -> 'a
(** [timeout s f] is [f ()]; after [s] seconds it cancels [f ()] and raises {!exception-Timeout}. If
    [f] returns nevertheless, [timeout] returns its result. *)

val timeout_opt : float -> (unit -> 'a) -> 'a option
(** [timeout_opt s f] is [Some (f ())], or [None] after [s] seconds. *)

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
  (** [await p] waits for the value of [p] and is it. *)

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
  (** [lock m] waits until [m] is unlocked and locks it. Waiting tasks get it in FIFO order. Raises
      [Invalid_argument] if this task holds [m]. *)

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
  (** [wait c m] unlocks [m], waits for {!signal} or {!broadcast}, and locks [m] again, also if
      cancelled. *)

  val wait_no_mutex : t -> unit
  (** [wait_no_mutex c] waits for {!signal} or {!broadcast}. Only one task runs at a time, so a
      condition that is tested without waiting in between needs no mutex. *)

  val signal : t -> unit
  (** [signal c] wakes the task that has waited longest, if any. *)

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
  (** [acquire s] waits until there is a unit and takes it, in FIFO order. *)

  val try_acquire : t -> bool
  (** [try_acquire s] takes a unit and is [true], or is [false] if there is none. Doesn't wait. *)

  val release : t -> unit
  (** [release s] returns a unit. *)

  val available : t -> int
  (** [available s] is the number of units. *)

  val with_unit : t -> (unit -> 'a) -> 'a
  (** [with_unit s f] is [f ()] between {!acquire} and {!release}. *)
end

(** Bounded queues between tasks. A cancelled {!Stream.push} has added nothing, a cancelled
    {!Stream.take} has taken nothing. *)
module Stream : sig
  type 'a t
  (** The type for streams of ['a]s. *)

  val create : int -> 'a t
  (** [create capacity] is an empty stream that holds up to [capacity] values; with [0] each {!push}
      waits for its {!take}. Raises [Invalid_argument] if [capacity < 0]. *)

  val push : 'a t -> 'a -> unit
  (** [push s v] waits until there is room and adds [v] at the end. Raises {!Soil.exception-Error}
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
  (** [iter f s] takes each value [v] from [s] and runs [f v], up to the end of the stream. *)

  val poll : 'a t -> 'a option
  (** [poll s] takes the oldest value if there is one. Doesn't wait. *)

  val close : 'a t -> unit
  (** [close s] ends the stream: its values can still be taken. Closing again does nothing. *)

  val length : 'a t -> int
  (** [length s] is the number of values in the stream. *)
end

module Local = Task_local
(** Values that belong to a task. *)
