(** Computations beside tasks: a bounded set of workers.

    {[
      Soil.Task.scope @@ fun scope ->
      let pool = Soil_pool.create scope in
      Soil_http.Server.serve listener @@ fun request ->
      Soil_http.Server.string (Soil_pool.submit pool (fun () -> render request))
    ]}

    A {e job} is a function that a worker runs, while the task that has submitted it waits and other
    tasks run. In a process, and in an image with several processors, each worker is a domain, which
    runs on a processor of its own. In an image with one processor each worker is a thread. It
    computes while the tasks wait: the first thread takes precedence as described in
    {!Soil_threads}, so that input and output go on beside jobs that never wait. A job needs no
    change for that.

    {b In a job} the modules for tasks raise [Invalid_argument], and so does each call of [Soil]
    that waits in another domain than the first: do input and output in the task, before and after.
    For other domains a job's data must be safe: what jobs and tasks share is immutable, [Atomic] or
    protected by a [Mutex]. Garbage collections stop all domains together, each where it next polls.
    {!Soil.Inbox.post} calls a task from a job.

    {b Ends.} A cancelled {!submit} takes its job out of the queue if no worker has begun it.
    Otherwise it waits for the job's end, and {!check} in the job raises. *)

type t
(** The type for pools. *)

val create : ?workers:int -> ?capacity:int -> Soil.Task.scope -> t
(** [create scope] is a pool that lives until the end of [scope]. At the end it waits for the jobs
    that run; {!submit} raises {!Soil.exception-Error} with [Closed] for those that haven't begun.
    While [scope] lasts, [Deadlock] isn't raised.

    [workers] is the number of workers: at most [Domain.recommended_domain_count], but in an image
    with one processor. The default leaves a processor to each domain with tasks
    ({!Soil.Domain.count}), and is at least 1. [capacity] is the maximum number of jobs in the queue
    while all workers run one (default 64).

    A pool belongs to the domain of [scope]: only tasks of that domain submit.

    For tasks. Raises [Invalid_argument] if [workers < 1] or [capacity < 0], and [Failure] if the
    program has too many domains or threads. *)

val submit : ?priority:int -> t -> (unit -> 'a) -> 'a
(** [submit pool f] waits while the queue is full, runs [f ()] in a worker, and is its result, or
    raises its exception with its backtrace. Jobs begin in the order of their [priority] (default
    0), the highest first, and in the order of submission among equals; so do submissions that wait
    for room. A job that runs is never interrupted for another.

    If the task is cancelled, [f] isn't begun any more; if it has begun, [submit] waits for its end
    and drops its result. For tasks. Raises [Invalid_argument] if the pool's scope has ended, and in
    another domain than the pool's. *)

val try_submit : ?priority:int -> t -> (unit -> 'a) -> 'a option
(** [try_submit pool f] is [Some (submit pool f)], or [None] if the queue is full; then a server
    refuses a request, for example. *)

val check : unit -> unit
(** [check ()] raises {!Soil.Task.Cancelled} in a job whose task was cancelled, and does nothing
    elsewhere. It costs well below a microsecond. *)

val workers : t -> int
(** [workers pool] is the number of workers. *)

val queued : t -> int
(** [queued pool] is the number of jobs that no worker has begun. *)
