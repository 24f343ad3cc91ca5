(** Work for the tasks of {!Soil.run} from other threads.

    {[
      Soil.run @@ fun () ->
      Soil.Task.scope @@ fun scope ->
      let inbox = Soil.Inbox.create scope in
      let answer = Soil.Task.Promise.create () in
      let compute () =
        let n = long_computation () in
        Soil.Inbox.submit inbox (fun () -> Soil.Task.Promise.fulfil answer n)
      in
      let thread = Thread.create compute () in
      print_int (Soil.Task.Promise.await answer);
      Thread.join thread
    ]}

    Tasks belong to the program's first thread; what concerns them ({!module-Task}, promises,
    {!Soil.run} itself) raises [Invalid_argument] in any other. An inbox is the way from there to
    them. *)

type t

val create : Task.scope -> t
(** [create scope] is an inbox whose functions run as tasks of [scope]. While [scope]'s body or
    tasks run, a thread may submit: the program isn't in a [Deadlock], whatever its tasks wait for.
    Lets other tasks run, as {!Task.yield}. In the first thread only. *)

val submit : t -> (unit -> unit) -> unit
(** [submit inbox f] lets [f ()] run as a task of the inbox's scope, as {!Task.spawn} does, after
    all that was submitted before, and returns at once. If the scheduler sleeps, this wakes it. From
    any thread of the program's first domain, and from tasks. Raises [Invalid_argument] if the scope
    has ended; what was submitted before runs. *)
