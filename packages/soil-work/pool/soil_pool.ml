(* The queue is shared with the workers, and changed by compare-and-set. All other state of a pool is
   the tasks'; what a worker has to say comes to them through the mailbox. *)

module Task = Soil.Task
module Promise = Soil.Task.Promise
module Mailbox = Soil.Private.Mailbox

(* By priority, the highest first, and number of the submission. *)
module Jobs = Map.Make (struct
  type t = int * int

  let compare (p, m) (q, n) = if p = q then Int.compare m n else Int.compare q p
end)

module Numbers = Map.Make (Int)

type job = {
  run : unit -> unit;  (** In a worker. *)
  drop : unit -> unit;  (** The pool has ended before. *)
  is_cancelled : bool Atomic.t;
}

type queue = Open of job Jobs.t | Closed

type t = {
  domain : Domain.id;  (** Whose tasks submit. *)
  queue : queue Atomic.t;
  units : Semaphore.Counting.t;  (** One for each job that was added to the queue. *)
  news : (unit -> unit) Mailbox.t;
  limit : int;  (** Maximum of [inside]. *)
  mutable inside : int;  (** Jobs in the queue and in workers. *)
  mutable outside : bool Promise.t Jobs.t;  (** Submissions that wait for room. *)
  mutable submissions : int;
  mutable running : int;  (** Workers that haven't ended. *)
  mutable joins : (unit -> unit) list;
}

(* Jobs that run, by the number of their worker's thread. *)
let jobs : job Numbers.t Atomic.t = Atomic.make Numbers.empty
let this_thread () = Thread.id (Thread.self ())

let rec update atomic f =
  let before = Atomic.get atomic in
  if not (Atomic.compare_and_set atomic before (f before)) then update atomic f

let check () =
  match Numbers.find_opt (this_thread ()) (Atomic.get jobs) with
  | Some job when Atomic.get job.is_cancelled -> raise Task.Cancelled
  | Some _ | None -> ()

(* Workers *)

type next = Job of job | Nothing | End

let rec take pool =
  match Atomic.get pool.queue with
  | Closed -> End
  | Open queue as before -> (
      match Jobs.min_binding_opt queue with
      (* It was taken back. *)
      | None -> Nothing
      | Some (key, job) ->
          let after = Open (Jobs.remove key queue) in
          if Atomic.compare_and_set pool.queue before after then Job job else take pool)

let rec work pool =
  Semaphore.Counting.acquire pool.units;
  match take pool with
  | End -> ()
  | Nothing -> work pool
  | Job job ->
      let thread = this_thread () in
      update jobs (Numbers.add thread job);
      job.run ();
      update jobs (Numbers.remove thread);
      work pool

let worker pool =
  work pool;
  ignore (Mailbox.put pool.news (fun () -> pool.running <- pool.running - 1))

(* A handler of a signal runs in the first thread only: its exception would end a worker. *)
let without_signals f =
  let signals =
    Sys.[ sigalrm; sigchld; sighup; sigint; sigprof; sigquit; sigterm; sigusr1; sigusr2; sigvtalrm ]
  in
  let before = Thread.sigmask SIG_BLOCK signals in
  Soil.Private.finally (fun () -> ignore (Thread.sigmask SIG_SETMASK before)) f

(* Elsewhere threads interrupt each other as tasks wish, which domains on one processor can't. *)
let parallel () = (not Soil.on_vm) || Domain.recommended_domain_count () > 1

let start pool =
  let join =
    if not (parallel ()) then
      let thread = Thread.create worker pool in
      fun () -> Thread.join thread
    else
      let records = Printexc.backtrace_status () in
      let work () =
        Printexc.record_backtrace records;
        worker pool
      in
      let domain = Domain.spawn work in
      fun () -> Domain.join domain
  in
  pool.running <- pool.running + 1;
  pool.joins <- join :: pool.joins

(* Tasks *)

let hear pool = (Mailbox.take pool.news ~operation:"pool") ()

let rec listen pool =
  hear pool;
  listen pool

let leave pool =
  match Jobs.min_binding_opt pool.outside with
  | Some (key, admitted) ->
      pool.outside <- Jobs.remove key pool.outside;
      Promise.fulfil admitted true
  | None -> pool.inside <- pool.inside - 1

let close pool () =
  (match Atomic.exchange pool.queue Closed with
  | Open queue -> Jobs.iter (fun _ job -> job.drop ()) queue
  | Closed -> ());
  let outside = pool.outside in
  pool.outside <- Jobs.empty;
  Jobs.iter (fun _ admitted -> Promise.fulfil admitted false) outside;
  List.iter (fun _ -> Semaphore.Counting.release pool.units) pool.joins;
  while pool.running > 0 do
    hear pool
  done;
  List.iter (fun join -> join ()) pool.joins

let maximum () = if parallel () then Domain.recommended_domain_count () else max_int
let default () = max 1 (Domain.recommended_domain_count () - Soil.Domain.count ())

let create ?workers ?(capacity = 64) scope =
  let workers = match workers with Some n -> n | None -> default () in
  if workers < 1 then invalid_arg "Soil_pool.create: fewer than 1 worker";
  if capacity < 0 then invalid_arg "Soil_pool.create: a negative capacity";
  let workers = min workers (maximum ()) in
  let pool =
    {
      domain = Domain.self ();
      queue = Atomic.make (Open Jobs.empty);
      units = Semaphore.Counting.make 0;
      news = Mailbox.create ();
      limit = workers + capacity;
      inside = 0;
      outside = Jobs.empty;
      submissions = 0;
      running = 0;
      joins = [];
    }
  in
  Task.on_release scope (close pool);
  without_signals (fun () ->
      for _ = 1 to workers do
        start pool
      done);
  (* A task that is cancelled waits for the end of its job. *)
  ignore (Task.spawn_daemon ~protected:true scope (fun () -> listen pool));
  pool

let workers pool = List.length pool.joins
let is_closed pool = match Atomic.get pool.queue with Open _ -> false | Closed -> true
let queued pool = match Atomic.get pool.queue with Open queue -> Jobs.cardinal queue | Closed -> 0
let closed () = Soil.Error.fail Closed "pool" ~detail:"its scope has ended"

let await_room pool key =
  let admitted = Promise.create () in
  pool.outside <- Jobs.add key admitted pool.outside;
  let undo () =
    if Promise.peek admitted = Some true then leave pool
    else pool.outside <- Jobs.remove key pool.outside
  in
  if not (Soil.Private.undoing undo (fun () -> Promise.await admitted)) then closed ()

let rec add pool key job =
  match Atomic.get pool.queue with
  | Closed -> job.drop ()
  | Open queue as before ->
      if Atomic.compare_and_set pool.queue before (Open (Jobs.add key job queue)) then
        Semaphore.Counting.release pool.units
      else add pool key job

(* Whether no worker has begun the job. *)
let rec take_back pool key =
  match Atomic.get pool.queue with
  | Closed -> false
  | Open queue as before ->
      Jobs.mem key queue
      && (Atomic.compare_and_set pool.queue before (Open (Jobs.remove key queue))
         || take_back pool key)

(* The end of a job: its outcome, or [None] if the pool has ended before. *)
let run pool key f =
  let ended = Promise.create () in
  let tell outcome () =
    (match outcome with Some (Error (e, _)) -> Soil.Private.recover e | Some (Ok _) | None -> ());
    leave pool;
    Promise.fulfil ended outcome
  in
  let run () =
    let compute () = if Soil.on_vm then Soil_threads.computing f else f () in
    let outcome =
      match compute () with v -> Ok v | exception e -> Error (e, Printexc.get_raw_backtrace ())
    in
    ignore (Mailbox.put pool.news (tell (Some outcome)))
  in
  let job = { run; drop = tell None; is_cancelled = Atomic.make false } in
  add pool key job;
  let undo () =
    if take_back pool key then leave pool
    else (
      Atomic.set job.is_cancelled true;
      ignore (Task.protect (fun () -> Promise.await ended)))
  in
  Soil.Private.undoing undo (fun () -> Promise.await ended)

let submission pool priority =
  Task.check ();
  if Domain.self () <> pool.domain then
    invalid_arg "Soil_pool.submit: the pool belongs to another domain";
  if is_closed pool then invalid_arg "Soil_pool.submit: the pool's scope has ended";
  pool.submissions <- pool.submissions + 1;
  (priority, pool.submissions)

let has_room pool = pool.inside < pool.limit && Jobs.is_empty pool.outside

let result = function
  | Some (Ok v) -> v
  | Some (Error (e, backtrace)) -> Printexc.raise_with_backtrace e backtrace
  | None -> closed ()

let submit ?(priority = 0) pool f =
  let key = submission pool priority in
  if has_room pool then pool.inside <- pool.inside + 1 else await_room pool key;
  result (run pool key f)

let try_submit ?(priority = 0) pool f =
  let key = submission pool priority in
  if has_room pool then (
    pool.inside <- pool.inside + 1;
    Some (result (run pool key f)))
  else None
