(** Waiting by Soil in other threads than the program's first, and work for threads.

    [(libraries soil soil.threads)] in a program's dune file is all that is needed for waiting; see
    {!Soil.Threads}. *)

val blocking : (unit -> 'a) -> 'a
(** [blocking f] runs [f ()] in a thread of its own and waits for its result, or raises its
    exception with its backtrace; other tasks run meanwhile. It is for functions that block the
    whole program otherwise: those of a C library, [Unix], or a long computation, with which the
    tasks then take turns.

    [f] can't be interrupted: a cancelled [blocking] waits for the end of [f], drops its result and
    raises {!Soil.Task.Cancelled}. Limit how many run at a time by a {!Soil.Task.Semaphore}. [f] is
    not in a task: it may use what {!module-Soil.Task} says of other threads. For tasks only. *)
