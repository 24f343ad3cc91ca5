(** A durable queue of jobs, in a {!Soil.Kv} store.

    {[
      let jobs = Soil_jobs.load (Soil_jobs.kv store (Soil.Kv.Key.v "/mails")) in
      Soil.Task.both
        (fun () -> Soil_jobs.work jobs (fun job -> send job.payload))
        (fun () -> Soil.Tcp.serve listener (fun c -> ignore (Soil_jobs.enqueue jobs (read c))))
    ]}

    {b At least once.} A job whose {!enqueue} has returned is durable. It runs until its function
    has returned and that is durable, so it may run more than once: after a crash, a stop, or a
    failed write. Make its effects repeatable, for example by recording {!job.id} with them.

    {b Failures.} A function that raises is called again after a delay, which doubles, and after
    [attempts] in all the job is a {e dead letter}, for {!dead}, {!retry} and {!delete}. An attempt
    is counted before it begins: a job that ends the process becomes a dead letter, too.

    {b One record per job}, one write per change: a crash leaves the state before or after it. The
    index is in memory, at some 300 bytes and the key's length per job; payloads are read when their
    jobs run. {!limits} bounds everything that is stored.

    {b One process.} A queue belongs to the domain, and its records to the program, that loaded it.
    There are no remote workers.

    {b Times} are of {!Soil.Clock.now}, whose steps take effect within a minute. A delay also ends
    once it has passed by {!Soil.Clock.monotonic}, counted from {!load} for what was stored before:
    jobs and keys that were stored while the clock was wrong, perhaps by decades, don't wait until
    then. *)

(** {1:stores Stores} *)

type store = {
  set : string -> string -> unit;  (** Durable when it returns. *)
  remove : string -> unit;  (** Likewise. Does nothing without a value. *)
  get : string -> string;
  list : unit -> string list;  (** Sorted or not. *)
}
(** The type for stores: values by name, for tests and other databases. The functions may wait. They
    raise {!Soil.exception-Error}; then the change may have been made. *)

val kv : Soil.Kv.t -> Soil.Kv.Key.t -> store
(** [kv t key] is the dictionary [key] of [t], which is created by the first {!enqueue}. Nothing
    else may be in it. *)

(** {1:queues Queues} *)

type limits = {
  jobs : int;  (** Jobs in all states, dead letters and tombstones of keys included. *)
  payload_bytes : int;
  attempts : int;  (** Attempts before a job is a dead letter. At least 1. *)
  backoff : Soil.Supervisor.backoff;  (** Delays after failures. *)
  key_seconds : float;  (** How long the key of a job that is done stays known. *)
}
(** The type for limits. *)

val default_limits : limits
(** [default_limits] is 10000 jobs of at most 64 KiB, 10 attempts with delays of 1 s to 1 h, half of
    them random, and a day for keys. *)

type t
(** The type for queues. *)

val load : ?limits:limits -> store -> t
(** [load store] is the queue in [store]. It reads all records. Jobs that ran when the process ended
    are ready at once, or dead letters if that was the last attempt. Records that are damaged are
    dead letters, too. Records beyond [limits.jobs] remain. Raises {!Soil.exception-Error} as the
    store does, and [Invalid_argument] if a limit is out of range. *)

type id = private string
(** The type for names of jobs: 24 hexadecimal digits, in the order of {!enqueue} as far as the
    clock doesn't go back. They are never used again. *)

val id : string -> id option
(** [id s] is the name [s], if it has the form of one. *)

val enqueue : ?key:string -> ?priority:int -> ?delay:float -> t -> string -> id
(** [enqueue t payload] is a new job, which is durable. It is ready after [delay] seconds (default:
    0). Ready jobs run by priority (default: 0), the greatest first, then by the times at which they
    became ready.

    [key] makes the call repeatable: if a job with it is known, the result is that job, whatever
    state and payload it has. This waits until that is durable. A key is known until the job is
    deleted, or [key_seconds] after it is done.

    Raises {!Soil.exception-Error} with [Busy] if there are [limits.jobs]; with [Too_large] if the
    payload, or a key of more than 256 bytes, is too long; and as the store does. After an error of
    the store the job doesn't run, unless the process ends before it is removed; call again with the
    same [key], and it is the same job. A cancellation is delivered after the job is durable. Raises
    [Invalid_argument] if [key] is empty, or [delay] is negative or not finite. *)

type state = Record.state =
  | Waiting  (** For a worker, or for its time. *)
  | Running
  | Dead
  | Done  (** Its key is known. *)

val state : t -> id -> state option
(** [state t id] is the state of the job; [None] if it is unknown, or done without a key. Doesn't
    wait. *)

(** {1:work Work} *)

type job = { id : id; key : string option; attempt : int;  (** From 1. *) payload : string }

val work :
  ?workers:int ->
  ?grace:float ->
  ?explain:(exn -> string) ->
  ?on_error:(Soil.Error.t -> unit) ->
  t ->
  (job -> unit) ->
  'a
(** [work t f] calls [f job] for jobs that are ready, at most [workers] (default: 4) at the same
    time, each in a task. It lasts until it is cancelled. Then it takes no more jobs, waits up to
    [grace] seconds (default: 5) for those that run, and cancels the rest, which are ready again and
    whose attempt isn't counted.

    [explain e] is the error that is stored with a failed job, in at most 1000 bytes. The default
    knows {!Soil.exception-Error}, [Failure] and [Invalid_argument]; use [Printexc.to_string] for
    all.

    [on_error e] is called when the store fails; the write is tried again after a delay. A job that
    is done isn't called again meanwhile. The default prints [e] on standard error. An exception of
    [on_error] ends [work], which raises it: [~on_error:(fun e -> raise (Soil.Error e))] is for
    programs that reopen a store that has failed.

    Several [work]s may share a queue. Raises [Invalid_argument] if [workers < 1] or [grace] is
    negative. *)

(** {1:dead Dead letters} *)

type letter = {
  job : job;  (** With the number of attempts. *)
  error : string;  (** Of the last attempt. *)
  since : float;  (** Seconds since 1970-01-01 UTC. *)
}

val dead : ?after:id -> ?limit:int -> t -> letter list
(** [dead t] is at most [limit] (default: 100) dead letters, those behind [after], by {!type-id}.
    Damaged ones lack all but [id] and [error]. It reads the store, and raises its errors. *)

val retry : t -> id -> bool
(** [retry t id] makes a dead letter ready, with all attempts, and is [true]; [false] if [id] isn't
    one. Waits until that is durable. Raises {!Soil.exception-Error} as the store does, and with
    [Corrupt] if the letter is damaged; then it is a dead letter as before. *)

val delete : t -> id -> bool
(** [delete t id] removes a job that is dead or waiting, and its key, and is [true]; [false] if [id]
    is none. Waits until that is durable. Raises {!Soil.exception-Error} as the store does: then the
    job doesn't run, and is removed later, unless the process ends before. *)

(** {1:statistics Statistics} *)

type statistics = {
  queued : int;  (** Ready now. *)
  delayed : int;  (** Waiting for their times now. *)
  running : int;  (** Taken by workers now. *)
  dead : int;  (** Dead letters now. *)
  keys : int;  (** Tombstones of keys, and jobs whose {!enqueue} has failed, now. *)
  enqueued : int;  (** New jobs since {!load}. *)
  finished : int;  (** Jobs that are done, since {!load}. *)
  failures : int;  (** Failed attempts since {!load}. *)
  store_errors : int;  (** Failed operations of the store since {!load}. *)
  oldest_seconds : float;  (** How long the oldest queued job has been ready; 0 without one. *)
}

val statistics : t -> statistics
(** [statistics t] is the current state. Doesn't wait. Takes time in proportion to [queued]. *)
