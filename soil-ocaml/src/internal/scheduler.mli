(** The scheduler: ready and waiting fibers, and the one call that waits for the machine. Private to
    Soil.

    It is the only module that calls {!Soil_raw.wait} and {!Soil_raw.cancel}. A {e fiber} is a
    running computation; for a cancellation {e context} see {!Cancel}. *)

type fiber = Fiber.t
type context = Fiber.context

exception Cancelled

val cancelled : unit -> 'a
(** Raises {!Cancelled}. *)

(** {1 Waiting for the machine} *)

val operation : operation:string -> subject:string -> (int -> int) -> int
(** [operation submit] is the outcome of the operation that [submit token] starts: its result at
    once, or after the task has waited. It fails if that is negative. After the machine's call
    [submit] takes no memory, so that no signal's handler raises there in native code.

    A cancelled task cancels the operation; if that isn't possible at once, the task waits for its
    completion. If the operation completes nevertheless, its result is returned. *)

val wait_ready : int -> int -> int
(** [wait_ready handle direction] waits until [handle] is ready for reading (0) or writing (1). The
    result is negative if [handle] doesn't support that. *)

val spend : unit -> unit
(** [spend ()] counts a call that didn't have to wait; after a number of consecutive ones the fiber
    yields. *)

val at_once : string -> int -> int
(** [at_once operation result] is [result], of an operation that completed without a wait: an
    instant event in a trace. From any thread; only those of tasks are recorded. *)

val has_run : int -> bool
(** [has_run domain] is [true] if the domain has or had tasks. From any domain. *)

val counts : int -> int * int
(** [counts domain] is its number of operations in progress and of fibers. From any domain. *)

val activity : int -> int * int * int
(** [activity domain] is its number of ready fibers, and the totals of started fibers and of their
    turns. From any domain. *)

val create_ints : int -> Soil_raw.int_buffer
(** [create_ints n] is a new array of [n] numbers for Rust to fill. *)

type state

val get : unit -> state

val poll : state -> int -> unit
(** [poll s t] waits until the time [t] (monotonic nanoseconds of the machine; 0 to poll, -1 for
    none), or until an operation completes, and wakes the fibers that wait for completed operations
    and for the time. *)

val timers : Fiber.event Timers.t
(** What waits for the time, in the first domain. *)

val domain : unit -> int
(** [domain ()] is the index of the current domain, which has tasks. *)

val is_engaged : int -> now:int -> bool
(** [is_engaged domain ~now] is [true] if its tasks have run for 100 ms without an end of their
    turns: one computes. From any domain. *)

val post : int -> (unit -> unit) -> bool
(** [post domain f] calls [f ()] in the scheduler of [domain] soon, after all that was posted there
    before; [false]: it has none any more. [f ()] neither waits nor raises. From any domain. *)

val others : int Atomic.t
(** The number of domains for {!run_domain} that haven't ended. While it isn't 0, no wait fails as a
    deadlock. *)

val run_domain : (unit -> 'a) -> 'a
(** [run_domain main] is {!run}[ main] in a domain that isn't the program's first, and that
    {!others} counts. *)

(** {1 Waiting for others} *)

val in_task : unit -> bool
(** [in_task ()] is [true] iff this is inside {!run}. *)

val wait_in : fiber Waiters.t -> unit
(** [wait_in queue] waits until {!wake_first}[ queue] reaches this fiber. Also raises [Cancelled] if
    the fiber was cancelled before, without entering the queue. *)

val wait_unless : ?queued:(unit -> unit) -> (unit -> bool) -> fiber Waiters.t -> unit
(** [wait_unless ready queue] is {!wait_in}[ queue] unless [ready ()], which is called within the
    queue's guard: nothing changes within it between the answer and the wait. [queued ()] is called
    when the fiber is in [queue], and doesn't wait. *)

val wait_in_protected : fiber Waiters.t -> unit
(** [wait_in_protected] is {!wait_in} ignoring cancellation. *)

val wait_unless_protected : (unit -> bool) -> fiber Waiters.t -> unit
(** [wait_unless_protected] is {!wait_unless} ignoring cancellation. *)

val wake_first : fiber Waiters.t -> fiber option
(** [wake_first queue] wakes and returns the fiber that has waited longest, or is [None] if there is
    none. *)

val take_first : fiber Waiters.t -> fiber Waiters.t
(** [take_first queue] takes the entry of the fiber that has waited longest out of [queue], within
    its guard; [queue] itself if there is none. {!wake_taken} must follow after the guard. *)

val wake_taken : fiber Waiters.t -> unit
(** [wake_taken (take_first queue)] wakes the fiber, if there is one, in its own domain. *)

val deadline_after : float -> int
(** [deadline_after s] is the time in [s] seconds, in monotonic nanoseconds; [max_int] is never.
    Raises [Invalid_argument] if [s] isn't a number. *)

val sleep_until : int -> unit
(** [sleep_until t] waits until the monotonic clock reaches [t] nanoseconds. *)

val yield : unit -> unit
val check : unit -> unit

(** {1 Fibers and cancellation} *)

val self : unit -> fiber

val is_over : fiber -> bool
(** [is_over fiber] is [true] iff [fiber] was abandoned by a failed {!run}; it never runs. *)

val is_left : context -> bool
(** [is_left context] is {!is_over} for the fiber that has entered [context]. *)

val current_context : unit -> context

type local = Fiber.local = ..
(** A task-local value of {!Task.Local}. *)

val locals : unit -> local list
(** [locals ()] is the current fiber's values, inherited by fibers that it spawns. *)

val set_locals : local list -> unit

val enter : unit -> context
(** [enter ()] puts the current fiber into a new context below its own. *)

val leave : context -> unit
(** [leave context] puts the current fiber back into the context above [context]. *)

val protect : (unit -> 'a) -> 'a
(** Documented in {!Task.protect}. *)

val no_fiber : fiber
(** [no_fiber] is the value of {!self} outside {!run}. *)

val within : context -> (unit -> 'a) -> 'a
(** [within context f] is [f ()] in a new context below [context], independent of the current one.
*)

val spawn : shielded:bool -> context -> (unit -> unit) -> context
(** [spawn ~shielded parent f] runs [f ()] in a new fiber, in the new context below [parent] that is
    the result, and which cancellations of [parent] don't reach if it is [shielded]. [f] must not
    raise. The context must be removed when it ends. *)

val remove : context -> unit
(** [remove context] removes a spawned fiber's context from the tree. *)

val cancel : context -> unit
(** [cancel context] cancels everything in [context] and below. *)

val is_cancelled : context -> bool

val cancel_at : context -> int -> unit -> bool
(** [cancel_at context t] cancels [context], which the current fiber has entered, at the time [t]
    (nanoseconds). The result removes the timer, and is [true] iff it hadn't fired; several timers
    are removed in LIFO order. *)

(** {1 The program} *)

val starting : (unit -> unit) ref
(** Called at the beginning of each outermost {!run}. *)

val first_in_task : (unit -> unit) ref
(** Called by the first task of such a run, before its function. *)

val run : (unit -> 'a) -> 'a
val exit : int -> 'a

val is_exiting : unit -> bool
(** Whether {!exit} was called in this {!run}. *)
