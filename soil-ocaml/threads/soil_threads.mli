(** Waiting in Soil in threads other than the first, and blocking calls in threads.

    For waiting, [(libraries soil soil.threads)] in a program's dune file is sufficient; see
    {!Soil.Threads}. *)

val blocking : (unit -> 'a) -> 'a
(** [blocking f] runs [f ()] in a new thread and waits for its result, or raises its exception with
    its backtrace; other tasks run meanwhile. Use it for functions that otherwise block the whole
    program: those of a C library, [Unix], or a long computation, which then runs concurrently with
    the tasks.

    [f] can't be interrupted: a cancelled [blocking] waits for the end of [f], drops its result and
    raises {!Soil.Task.Cancelled}. Limit concurrent calls with a {!Soil.Task.Semaphore}. [f] isn't
    in a task: {!module-Soil.Task} lists what it may use in other threads. For tasks only. *)
