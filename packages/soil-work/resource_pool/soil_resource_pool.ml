(* A resource is counted in one of [in_use], [idle] and [closing], a resource to come in [opening].
   While tasks wait, none is idle. *)

module Task = Soil.Task
module Promise = Soil.Task.Promise
module Clock = Soil.Clock
module Numbers = Map.Make (Int)

type limits = {
  max_open : int;
  max_idle : int;
  max_waiting : int;
  wait_seconds : float;
  attempts : int;
  backoff : Soil.Supervisor.backoff;
  age_seconds : float;
  age_jitter : float;
  idle_seconds : float;
  check_seconds : float;
  check_within : float;
  open_within : float;
  close_within : float;
}

let default_limits =
  {
    max_open = 10;
    max_idle = max_int;
    max_waiting = 1000;
    wait_seconds = 30.;
    attempts = 1;
    backoff = { first = 0.1; most = 2.; jitter = 0.5 };
    age_seconds = 1800.;
    age_jitter = 0.1;
    idle_seconds = 600.;
    check_seconds = 1.;
    check_within = 5.;
    open_within = 30.;
    close_within = 5.;
  }

type reason = Aged | Unused | Surplus | Unhealthy | Unusable | Interrupted | Cleared | Ended

let reasons = [ Aged; Unused; Surplus; Unhealthy; Unusable; Interrupted; Cleared; Ended ]

let reason_to_string = function
  | Aged -> "aged"
  | Unused -> "unused"
  | Surplus -> "surplus"
  | Unhealthy -> "unhealthy"
  | Unusable -> "unusable"
  | Interrupted -> "interrupted"
  | Cleared -> "cleared"
  | Ended -> "ended"

type statistics = {
  in_use : int;
  idle : int;
  opening : int;
  closing : int;
  waiting : int;
  opened : int;
  failed : int;
  closed : (reason * int) list;
  uses : int;
  waited : int;
  waited_seconds : float;
  timed_out : int;
  refused : int;
}

type 'a resource = {
  value : 'a;
  until : float;  (** The end of its age. *)
  generation : int;
  mutable since : float;  (** Unused since. *)
}

type failure = exn * Printexc.raw_backtrace
type 'a grant = Resource of 'a resource | Failed of failure | Over
type 'a waiter = { grant : 'a grant Promise.t; mutable attempts : int  (** Left. *) }

type 'a t = {
  name : string;
  domain : Domain.id;
  scope : Task.scope;
  limits : limits;
  open_ : unit -> 'a;
  close : 'a -> unit;
  is_healthy : 'a -> bool;
  is_usable : 'a -> bool;
  keep : exn -> bool;
  mutable in_use : int;
  mutable idle : int;
  mutable unused : 'a resource list;  (** The one returned last comes first. *)
  mutable opening : int;
  mutable closing : int;
  dying : 'a resource Queue.t;  (** Those of [closing] whose task hasn't begun. *)
  mutable waiting : int;
  mutable queue : 'a waiter Numbers.t;  (** By the number of the call. *)
  mutable calls : int;
  mutable generation : int;
  mutable failures : int;  (** Rounds of failed attempts since the last success. *)
  mutable failure : failure option;  (** Of the last attempt. *)
  mutable retry_at : float;
  mutable reaper : unit Task.t option;
  mutable reap_at : float;  (** When the reaper wakes. *)
  mutable is_over : bool;
  mutable opened : int;
  mutable failed : int;
  closed : (reason * int ref) list;
  mutable uses : int;
  mutable waited : int;
  mutable waited_seconds : float;
  mutable timed_out : int;
  mutable refused : int;
  mutable on_use : float -> unit;
}

let has_ended t = t.is_over
let operation = "resource pool"
let over t = Soil.Error.fail Closed operation ~subject:t.name ~detail:"its scope has ended"

(* From 0 to 1, different for machines, and for resources that are opened at one moment.
   [Soil.Random] might wait or raise. *)
let random t =
  let mixed = ((Clock.monotonic_ns () lsl 8) + t.opened + t.failed) * 0x1e3779b97f4a7c15 in
  float_of_int ((mixed lsr 40) land 0xffff) /. 65536.

(* A task of the pool, unless its scope has ended. *)
let spawn t f =
  match Task.spawn_daemon ~protected:true t.scope f with
  | task -> Some task
  | exception Invalid_argument _ -> None

(* Waiting tasks *)

let enqueue t call waiter =
  t.queue <- Numbers.add call waiter t.queue;
  t.waiting <- t.waiting + 1

let dequeue t call =
  t.queue <- Numbers.remove call t.queue;
  t.waiting <- t.waiting - 1

let answer t (call, waiter) grant =
  dequeue t call;
  Promise.fulfil waiter.grant grant

let answer_all t grant = Numbers.iter (fun call w -> answer t (call, w) grant) t.queue

(* Opening and closing *)

let size t = t.in_use + t.idle + t.opening + t.closing

let rec open_more t =
  let most = if t.failures > 0 then 1 else t.waiting in
  if t.opening < min most t.waiting && size t < t.limits.max_open then (
    t.opening <- t.opening + 1;
    match spawn t (fun () -> open_one t) with
    | Some _ -> open_more t
    | None ->
        t.opening <- t.opening - 1;
        answer_all t Over)

and open_one t =
  let finish () = t.opening <- t.opening - 1 in
  let outcome =
    Soil.Private.undoing finish @@ fun () ->
    let is_extra = t.failures > 0 && t.opening > 1 in
    if t.failures > 0 && not is_extra then Clock.sleep_until t.retry_at;
    (* The tasks that waited for it may have left. *)
    if is_extra || t.waiting = 0 then ignore else attempt t
  in
  finish ();
  outcome ();
  open_more t

(* The function that makes the outcome known. *)
and attempt t =
  let calls = t.calls and failures = t.failures in
  match Task.timeout_opt t.limits.open_within t.open_ with
  | Some value -> fun () -> add t value
  | None ->
      let detail = "it took longer than open_within" in
      let error : Soil.Error.t =
        { code = Timed_out; operation = "resource pool open"; subject = t.name; detail }
      in
      fun () -> fail t ~calls ~failures (Soil.Error error, Printexc.get_callstack 0)
  | exception e ->
      let backtrace = Printexc.get_raw_backtrace () in
      Task.check ();
      Soil.Private.recover e;
      fun () -> fail t ~calls ~failures (e, backtrace)

and add t value =
  t.opened <- t.opened + 1;
  t.failures <- 0;
  t.failure <- None;
  let now = Clock.monotonic () in
  let age = t.limits.age_seconds *. (1. -. (t.limits.age_jitter *. random t)) in
  give t { value; until = now +. age; generation = t.generation; since = now }

(* Attempts that began together are one round: the tasks that waited then have one attempt less. *)
and fail t ~calls ~failures failure =
  t.failed <- t.failed + 1;
  t.failure <- Some failure;
  if t.failures = failures then (
    let { first; most; jitter } : Soil.Supervisor.backoff = t.limits.backoff in
    let delay = min most (first *. float_of_int (1 lsl min failures 30)) in
    t.failures <- failures + 1;
    t.retry_at <- Clock.monotonic () +. (delay *. (1. -. (jitter *. random t)));
    let charge call waiter =
      if call <= calls then (
        waiter.attempts <- waiter.attempts - 1;
        if waiter.attempts <= 0 then answer t (call, waiter) (Failed failure))
    in
    Numbers.iter charge t.queue)

and give t resource =
  match Numbers.min_binding_opt t.queue with
  | Some first ->
      t.in_use <- t.in_use + 1;
      answer t first (Resource resource)
  | None when t.idle >= t.limits.max_idle -> dispose t Surplus resource
  | None ->
      t.unused <- resource :: t.unused;
      t.idle <- t.idle + 1;
      let at = expiry t resource in
      if at < t.reap_at then (
        Option.iter Task.cancel t.reaper;
        t.reap_at <- at;
        t.reaper <- spawn t (fun () -> reap t))

and dispose t reason resource =
  incr (List.assq reason t.closed);
  t.closing <- t.closing + 1;
  if t.is_over then close_now t resource
  else (
    Queue.add resource t.dying;
    ignore (spawn t (fun () -> Option.iter (close_now t) (Queue.take_opt t.dying))))

and close_now t resource =
  let close () = t.close resource.value in
  let close () = ignore (Task.timeout_opt t.limits.close_within close) in
  (try Task.protect close with e -> Soil.Private.recover e);
  t.closing <- t.closing - 1;
  open_more t

(* Unused resources *)

and expiry t (resource : _ resource) = min resource.until (resource.since +. t.limits.idle_seconds)

and reason_to_close t (resource : _ resource) now =
  if t.is_over then Some Ended
  else if resource.generation <> t.generation then Some Cleared
  else if now >= resource.until then Some Aged
  else if now >= resource.since +. t.limits.idle_seconds then Some Unused
  else None

and reap t =
  Clock.sleep_until t.reap_at;
  let now = Clock.monotonic () in
  let stays resource =
    match reason_to_close t resource now with
    | None -> true
    | Some reason ->
        t.idle <- t.idle - 1;
        dispose t reason resource;
        false
  in
  t.unused <- List.filter stays t.unused;
  t.reap_at <- List.fold_left (fun at r -> min at (expiry t r)) infinity t.unused;
  if t.reap_at < infinity then reap t

let is_usable t resource =
  match t.is_usable resource.value with
  | usable -> usable
  | exception e ->
      Soil.Private.recover e;
      false

(* The end of a use. *)
let return t resource reason =
  t.in_use <- t.in_use - 1;
  let now = Clock.monotonic () in
  resource.since <- now;
  let reason = if reason = None then reason_to_close t resource now else reason in
  match reason with
  | Some reason -> dispose t reason resource
  | None when is_usable t resource -> give t resource
  | None -> dispose t Unusable resource

(* Uses *)

let is_healthy t resource ~now ~until =
  let undo () = return t resource (Some Interrupted) in
  Soil.Private.undoing undo @@ fun () ->
  let check () = t.is_healthy resource.value in
  match Task.timeout_opt (min t.limits.check_within (until -. now)) check with
  | healthy -> healthy = Some true
  | exception e ->
      Task.check ();
      Soil.Private.recover e;
      false

(* An unused resource. *)
let rec take t ~until =
  match t.unused with
  | [] -> None
  | resource :: rest -> (
      t.unused <- rest;
      t.idle <- t.idle - 1;
      t.in_use <- t.in_use + 1;
      let now = Clock.monotonic () in
      let reason =
        match reason_to_close t resource now with
        | Some _ as reason -> reason
        | None when now -. resource.since < t.limits.check_seconds -> None
        | None -> if is_healthy t resource ~now ~until then None else Some Unhealthy
      in
      match reason with
      | None -> Some resource
      | Some _ ->
          return t resource reason;
          take t ~until)

let wait t call ~until =
  if t.waiting >= t.limits.max_waiting then (
    t.refused <- t.refused + 1;
    let detail = string_of_int t.waiting ^ " tasks wait already (max_waiting)" in
    Soil.Error.fail Busy operation ~subject:t.name ~detail);
  let waiter = { grant = Promise.create (); attempts = t.limits.attempts } in
  enqueue t call waiter;
  let undo () =
    match Promise.peek waiter.grant with
    | None -> dequeue t call
    | Some (Resource resource) -> return t resource None
    | Some (Failed _ | Over) -> ()
  in
  let await () = Soil.Private.undoing undo (fun () -> Promise.await waiter.grant) in
  open_more t;
  if until = infinity then Some (await ()) else Task.timeout_opt (until -. Clock.monotonic ()) await

let time_out t seconds =
  t.timed_out <- t.timed_out + 1;
  match t.failure with
  | Some (e, backtrace) when t.failures > 0 -> Printexc.raise_with_backtrace e backtrace
  | Some _ | None ->
      let in_use = string_of_int t.in_use ^ " of " ^ string_of_int t.limits.max_open in
      let detail =
        ("none was free for " ^ string_of_float seconds ^ " s: " ^ in_use ^ " are in use, ")
        ^ (string_of_int t.waiting ^ " other tasks wait; ")
        ^ "use them for shorter times, or raise max_open"
      in
      Soil.Error.fail Timed_out operation ~subject:t.name ~detail

let acquire t seconds =
  if Domain.self () <> t.domain then
    invalid_arg "Soil_resource_pool.use: the pool belongs to another domain";
  Task.check ();
  if t.is_over then over t;
  t.calls <- t.calls + 1;
  let call = t.calls in
  let since = Clock.monotonic () in
  let until = since +. seconds in
  match take t ~until with
  | Some resource ->
      t.uses <- t.uses + 1;
      t.on_use 0.;
      resource
  | None when seconds <= 0. -> time_out t seconds
  | None -> (
      match wait t call ~until with
      | None -> time_out t seconds
      | Some (Failed (e, backtrace)) -> Printexc.raise_with_backtrace e backtrace
      | Some Over -> over t
      | Some (Resource resource) ->
          let seconds = Clock.monotonic () -. since in
          t.uses <- t.uses + 1;
          t.waited <- t.waited + 1;
          t.waited_seconds <- t.waited_seconds +. seconds;
          t.on_use seconds;
          resource)

let use ?wait_seconds ?keep t f =
  let keep = match keep with Some keep -> keep | None -> t.keep in
  let resource = acquire t (Option.value wait_seconds ~default:t.limits.wait_seconds) in
  match f resource.value with
  | v ->
      return t resource None;
      v
  | exception e ->
      let backtrace = Printexc.get_raw_backtrace () in
      let is_kept = match e with Task.Cancelled -> false | e -> keep e in
      return t resource (if is_kept then None else Some Interrupted);
      Printexc.raise_with_backtrace e backtrace

(* Pools *)

let abandon t reason =
  let unused = t.unused in
  t.unused <- [];
  t.idle <- 0;
  List.iter (dispose t reason) unused

let clear t =
  t.generation <- t.generation + 1;
  abandon t Cleared

let finish t () =
  abandon t Ended;
  t.is_over <- true;
  answer_all t Over;
  let dying = List.of_seq (Queue.to_seq t.dying) in
  Queue.clear t.dying;
  Task.iter (close_now t) dying

let check_limits limits =
  let check name valid = if not valid then invalid_arg ("Soil_resource_pool.create: " ^ name) in
  let is_time name x = check (name ^ " is negative, or not a number") (x >= 0.) in
  check "max_open is less than 1" (limits.max_open >= 1);
  check "max_idle is negative" (limits.max_idle >= 0);
  check "max_waiting is negative" (limits.max_waiting >= 0);
  check "attempts is less than 1" (limits.attempts >= 1);
  check "age_jitter isn't from 0 to 1" (limits.age_jitter >= 0. && limits.age_jitter <= 1.);
  let { first; most; jitter } : Soil.Supervisor.backoff = limits.backoff in
  check "backoff is out of range" (first >= 0. && most >= first && jitter >= 0. && jitter <= 1.);
  is_time "wait_seconds" limits.wait_seconds;
  is_time "age_seconds" limits.age_seconds;
  is_time "idle_seconds" limits.idle_seconds;
  is_time "check_seconds" limits.check_seconds;
  is_time "check_within" limits.check_within;
  is_time "open_within" limits.open_within;
  is_time "close_within" limits.close_within

let always _ = true
let never _ = false

let create ?(limits = default_limits) ?(is_healthy = always) ?(is_usable = always) ?(keep = never)
    ~close scope name open_ =
  check_limits limits;
  let t =
    {
      name; domain = Domain.self (); scope; limits; open_; close; is_healthy; is_usable; keep;
      in_use = 0; idle = 0; unused = []; opening = 0; closing = 0; dying = Queue.create ();
      waiting = 0; queue = Numbers.empty; calls = 0; generation = 0;
      failures = 0; failure = None; retry_at = 0.; reaper = None; reap_at = infinity;
      is_over = false; opened = 0; failed = 0; closed = List.map (fun r -> (r, ref 0)) reasons;
      uses = 0; waited = 0; waited_seconds = 0.; timed_out = 0; refused = 0; on_use = ignore;
    }
  in
  Task.on_release scope (finish t);
  t
[@@ocamlformat "disable"]

let on_use t f =
  let before = t.on_use in
  t.on_use <-
    (fun seconds ->
      before seconds;
      f seconds)

let statistics (t : _ t) : statistics =
  {
    in_use = t.in_use;
    idle = t.idle;
    opening = t.opening;
    closing = t.closing;
    waiting = t.waiting;
    opened = t.opened;
    failed = t.failed;
    closed = List.map (fun (reason, count) -> (reason, !count)) t.closed;
    uses = t.uses;
    waited = t.waited;
    waited_seconds = t.waited_seconds;
    timed_out = t.timed_out;
    refused = t.refused;
  }
