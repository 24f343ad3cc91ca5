(** Waiting in Soil in threads other than the first, and blocking calls and computations in threads.

    For waiting, [(libraries soil soil.threads)] in a program's dune file is sufficient; see
    {!Soil.Threads}.

    {b Turns.} OCaml's threads of a domain share one lock: one of them runs OCaml code at a time, in
    an image as in a process. OCaml itself takes the lock from a thread that computes after 50 ms,
    and gives it to the one that has waited longest. This library shortens that for the program's
    first thread, which runs tasks and serves input and output: as soon as that has something to do,
    a thread in {!blocking} or {!computing} leaves it the lock where it next polls (OCaml code polls
    when it takes memory and in loops), in general within microseconds. A first thread that is busy
    without a pause leaves the lock for 1 ms in each 5, so that computations go on. Among each other
    computations change every 50 ms. C code that keeps the lock for long holds up all threads.

    In an image several computations take as long together as one after the other: there is one
    processor. In a process [Soil_pool] uses several. *)

val blocking : (unit -> 'a) -> 'a
(** [blocking f] runs [f ()] in a new thread and waits for its result, or raises its exception with
    its backtrace; other tasks run meanwhile, as described above. Use it for functions that
    otherwise block the whole program: those of a C library, [Unix], or a computation. A thread
    costs tens of microseconds and memory for its stack: many or short computations are for
    [Soil_pool].

    [f] can't be interrupted: a cancelled [blocking] waits for the end of [f], drops its result and
    raises {!Soil.Task.Cancelled}. Limit concurrent calls with a {!Soil.Task.Semaphore}. [f] isn't
    in a task: {!module-Soil.Task} lists what it may use in other threads. For tasks only. *)

val computing : (unit -> 'a) -> 'a
(** [computing f] is [f ()], during which the first thread takes precedence over this one. For
    computations in a thread of the program's own ([Thread.create]). Does nothing else; in the first
    thread, and in other domains, it is [f ()]. *)
