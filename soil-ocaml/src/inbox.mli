(** Tasks of {!Soil.run} for other threads.

    {[
      Soil.run @@ fun () ->
      Soil.Task.scope @@ fun scope ->
      let inbox = Soil.Inbox.create scope in
      Soil_threads.blocking @@ fun () ->
      let page = Soil.Inbox.submit inbox (fun () -> fetch "http://192.0.2.1/") in
      long_computation page
    ]}

    Tasks belong to the program's first thread; their functions ({!module-Task}, promises,
    {!Soil.run} itself) raise [Invalid_argument] in any other. Through an inbox other threads call
    tasks: {!submit} waits for the result, {!post} doesn't wait. For calls from a task to a thread
    see [Soil_threads.blocking]. *)

type t

val create : Task.scope -> t
(** [create scope] is an inbox whose functions run as tasks of [scope]. While [scope]'s body or
    tasks run, a thread may submit, so [Deadlock] isn't raised. Lets other tasks run, like
    {!Task.yield}. For the first thread only. *)

val submit : t -> (unit -> 'a) -> 'a
(** [submit inbox f] runs [f ()] as a task of the inbox's scope, after all earlier functions, and is
    its result. It raises an exception of [f], with its backtrace, which fails nothing else. Waits,
    and blocks its thread only, which needs [soil.threads] ({!Soil.Threads}). With {!Task.timeout}
    it cancels the task and waits for its end.

    For threads other than the first, in the first domain; tasks use {!Task.spawn}. While the first
    thread blocks outside Soil, as in [Thread.join], no task runs. Raises {!Task.Cancelled} if the
    scope is cancelled before [f] has returned. Raises [Invalid_argument] if the scope has ended,
    and in the first thread. *)

val post : t -> (unit -> unit) -> unit
(** [post inbox f] runs [f ()] as a task of the inbox's scope, like {!Task.spawn}, after all earlier
    functions, and returns at once. It wakes a sleeping scheduler. For any thread of any domain, and
    for tasks. Raises [Invalid_argument] if the scope has ended; earlier functions still run. *)
