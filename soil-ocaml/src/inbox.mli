(** Tasks of {!Soil.run} for other threads.

    {[
      Soil.run @@ fun () ->
      Soil.Task.scope @@ fun scope ->
      let inbox = Soil.Inbox.create scope in
      Soil_threads.blocking @@ fun () ->
      let page = Soil.Inbox.submit inbox (fun () -> fetch "http://192.0.2.1/") in
      long_computation page
    ]}

    Tasks belong to the program's first thread; what concerns them ({!module-Task}, promises,
    {!Soil.run} itself) raises [Invalid_argument] in any other. An inbox is the way from there to
    them: {!submit} waits for the result, {!post} doesn't wait. The way from a task to a thread is
    [Soil_threads.blocking]. *)

type t

val create : Task.scope -> t
(** [create scope] is an inbox whose functions run as tasks of [scope]. While [scope]'s body or
    tasks run, a thread may submit: the program isn't in a [Deadlock], whatever its tasks wait for.
    Lets other tasks run, as {!Task.yield}. In the first thread only. *)

val submit : t -> (unit -> 'a) -> 'a
(** [submit inbox f] runs [f ()] as a task of the inbox's scope, after all that was handed over
    before, and is its result. What [f] raises is raised here, with its backtrace, and fails nothing
    else. Waits, and blocks its thread only, which needs [soil.threads] ({!Soil.Threads}). It can be
    given a time by {!Task.timeout}: then the task is cancelled, and its end awaited.

    For threads other than the first, in the first domain; tasks use {!Task.spawn}. While the first
    thread blocks outside of Soil, as in [Thread.join], no task runs. Raises {!Task.Cancelled} if
    the scope is cancelled before [f] has returned. Raises [Invalid_argument] if the scope has
    ended, and in the first thread. *)

val post : t -> (unit -> unit) -> unit
(** [post inbox f] lets [f ()] run as a task of the inbox's scope, as {!Task.spawn} does, after all
    that was handed over before, and returns at once. If the scheduler sleeps, this wakes it. From
    any thread of the program's first domain, and from tasks. Raises [Invalid_argument] if the scope
    has ended; what was handed over before runs. *)
