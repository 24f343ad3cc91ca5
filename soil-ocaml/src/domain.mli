(** Tasks on several processors.

    {[
      let () =
        Soil.Domain.run @@ fun () ->
        let listener = Soil.Tcp.listen ~port:7 () in
        Soil.Domain.each @@ fun _ -> Soil.Tcp.serve listener echo
    ]}

    {!run} starts domains of OCaml ({!Stdlib.Domain}) with a scheduler each. A task belongs to the
    domain that it was started in, and so do a scope and its tasks; only {!spawn} and {!each} start
    tasks in others.

    {b What crosses.} {!Task.await}, {!Task.cancel}, {!Task.cancel_scope}, {!Task.Promise},
    {!Task.Mutex}, {!Task.Condition}, {!Task.Semaphore}, {!Task.Stream}, {!Broadcast} and
    {!Inbox.post} work between tasks of all domains. {!Task.Local} is inherited. A listener may
    accept in several domains at once; any other descriptor is used by one domain at a time, and may
    be passed on, with the reader or writer on it. {!File_descriptor.exclusively} is for tasks of
    one domain. A supervisor and its entries are tasks of one domain. {!Kv}, {!Virtual_clock},
    {!Fs.with_lock} and the waits of {!Threads} belong to the first domain. Other data that tasks of
    several domains change must be made for that, as [Atomic] is.

    While other domains have tasks, [Deadlock] isn't raised, and a handler of a signal must not
    raise. *)

val run : ?domains:int -> (unit -> 'a) -> 'a
(** [run main] is {!Soil.run}[ main] with [domains] domains (default:
    [Stdlib.Domain.recommended_domain_count ()]): the current one, in which [main] runs, and others,
    which end with it. Inside another {!run} it is [main ()]. Tasks that call it at the same time
    share the domains of the first call, which returns when the others have.

    Raises [Invalid_argument] if [domains] isn't between 1 and 128, and [Failure] if the program
    can't have so many. *)

val count : unit -> int
(** [count ()] is the number of domains with tasks: 1 outside of {!run}. *)

val self : unit -> int
(** [self ()] is the number of the current domain, from 0 to [count () - 1]. *)

val spawn : ?domain:int -> Task.scope -> (unit -> 'a) -> 'a Task.t
(** [spawn scope f] is {!Task.spawn}[ scope f] with [f ()] as a task of the domain with that number
    (default: the next one in turn). It is on its way when the calling task waits. If [scope] is
    cancelled, so is [f ()], and [scope] waits for its end; an exception of [f ()] fails [scope].
    Raises [Invalid_argument] if there is no such domain. *)

val each : ?domains:int -> (int -> unit) -> unit
(** [each f] runs [f i] in each domain [i] and waits for all of them. If one raises, it cancels the
    others and raises that exception. With [domains] it runs in at most so many; outside of {!run}
    it is {!run}[ ~domains] of that. Raises [Invalid_argument] if [domains] isn't between 1 and 128.
*)
