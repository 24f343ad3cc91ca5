exception Cancelled = Scheduler.Cancelled
exception Timeout of float

type scope = {
  home : int;  (** The domain that it was opened in, to which its tasks belong. *)
  context : Scheduler.context;
  mutable running : int;  (** Tasks that haven't ended, but for daemons. *)
  mutable daemons : Scheduler.context list;  (** Those that haven't ended. *)
  mutable releases : (unit -> unit) list;  (** The youngest first. *)
  mutable ended : bool;
  mutable failure : (exn * Failure.backtrace) option;  (** The first. *)
  mutable interrupted : bool;  (** A task ended because it was cancelled. *)
  joining : Scheduler.fiber Waiters.t;  (** The body, when it waits for the tasks. *)
}

type 'a state = Running | Returned of 'a | Raised of exn * Failure.backtrace

type 'a t = {
  mutable state : 'a state;
  mutable task_context : Scheduler.context;
  awaiting : Scheduler.fiber Waiters.t;
  mutable at_end : unit -> unit;
}

(* At the end of a task for whose end nobody has asked. *)
let nothing () = ()
let wake_all = Sync.wake_all
let yield = Scheduler.yield
let check = Scheduler.check
let protect = Scheduler.protect

(* In the domain that the context belongs to. *)
let at_home home f = if Scheduler.domain () = home then f () else ignore (Scheduler.post home f)

let cancel_scope scope =
  Owner.check ();
  at_home scope.home (fun () -> if not scope.ended then Scheduler.cancel scope.context)

let fail scope e backtrace =
  if scope.failure = None then scope.failure <- Some (e, backtrace);
  Scheduler.cancel scope.context

let rec join scope =
  if scope.running > 0 then (
    Scheduler.wait_in_protected scope.joining;
    join scope)
  else if not (List.is_empty scope.daemons) then (
    List.iter Scheduler.cancel scope.daemons;
    Scheduler.wait_in_protected scope.joining;
    join scope)

let rec release scope =
  match scope.releases with
  | [] -> ()
  | f :: rest ->
      scope.releases <- rest;
      (try protect f with e -> fail scope e (Failure.get_backtrace ()));
      release scope

let scope_in_task body =
  let scope =
    {
      home = Scheduler.domain ();
      context = Scheduler.enter ();
      running = 0;
      daemons = [];
      releases = [];
      ended = false;
      failure = None;
      interrupted = false;
      joining = Waiters.create ();
    }
  in
  let outcome =
    match body scope with
    | v -> Some v
    | exception e ->
        fail scope e (Failure.get_backtrace ());
        None
  in
  join scope;
  scope.ended <- true;
  release scope;
  Scheduler.leave scope.context;
  match (scope.failure, outcome) with
  | Some (e, backtrace), _ -> Soil_backtrace.reraise e backtrace
  | None, Some v ->
      (* The body was through, but not all that it started: a cancellation from above must not look
         like success. *)
      if scope.interrupted then Scheduler.check ();
      v
  | None, None -> assert false

let scope body =
  if Scheduler.in_task () then scope_in_task body else Scheduler.run (fun () -> scope_in_task body)

let check_open scope name =
  Owner.check ();
  if scope.home <> Scheduler.domain () then
    invalid_arg
      ("Soil.Task." ^ name ^ ": the scope belongs to another domain (see Soil.Domain.spawn)");
  if scope.ended || Scheduler.is_left scope.context then
    invalid_arg ("Soil.Task." ^ name ^ ": the scope has ended")

let on_release scope f =
  check_open scope "on_release";
  scope.releases <- f :: scope.releases

(* [ended task] as the task ends. *)
let spawn_in ?(shielded = false) scope f ended =
  let task =
    {
      state = Running;
      task_context = scope.context;
      awaiting = Waiters.create ();
      at_end = nothing;
    }
  in
  let body () =
    (match
       Scheduler.check ();
       f ()
     with
    | v -> task.state <- Returned v
    | exception e -> (
        let backtrace = Failure.get_backtrace () in
        task.state <- Raised (e, backtrace);
        match e with
        | Cancelled when Scheduler.is_cancelled task.task_context -> scope.interrupted <- true
        | e -> fail scope e backtrace));
    Scheduler.remove task.task_context;
    ended task;
    (try task.at_end () with e -> fail scope e (Failure.get_backtrace ()));
    wake_all task.awaiting;
    if scope.running = 0 then wake_all scope.joining
  in
  task.task_context <- Scheduler.spawn ~shielded scope.context body;
  task

let spawn scope f =
  check_open scope "spawn";
  let task = spawn_in scope f (fun _ -> scope.running <- scope.running - 1) in
  scope.running <- scope.running + 1;
  task

let spawn_daemon ?protected scope f =
  check_open scope "spawn_daemon";
  let forget task =
    scope.daemons <- List.filter (fun context -> context != task.task_context) scope.daemons
  in
  let task = spawn_in ?shielded:protected scope f forget in
  scope.daemons <- task.task_context :: scope.daemons;
  task

let spawn_result scope f =
  check_open scope "spawn_result";
  spawn scope @@ fun () ->
  match f () with
  | v -> Ok v
  | exception Cancelled when Scheduler.(is_cancelled (current_context ())) -> Scheduler.cancelled ()
  | exception e -> Result.Error e

let is_over task = match task.state with Running -> false | Returned _ | Raised _ -> true

let rec await task =
  match task.state with
  | Returned v -> v
  | Raised (e, backtrace) -> Soil_backtrace.reraise e backtrace
  | Running when Scheduler.is_left task.task_context ->
      invalid_arg "Soil.Task.await: the task was of a run that has failed"
  | Running ->
      Scheduler.wait_unless (fun () -> is_over task) task.awaiting;
      await task

let result task =
  match task.state with
  | Running -> None
  | Returned v -> Some (Ok v)
  | Raised (e, _) -> Some (Error e)

let on_end task f =
  match task.state with
  | Running ->
      let before = task.at_end in
      let both () =
        before ();
        f ()
      in
      task.at_end <- (if before == nothing then f else both)
  | Returned _ | Raised _ -> f ()

let cancel task =
  Owner.check ();
  let cancel () = if not (is_over task) then Scheduler.cancel task.task_context in
  at_home task.task_context.owner.home cancel

let both f g =
  scope @@ fun s ->
  let a = spawn s f in
  let b = spawn s g in
  let a = await a in
  (a, await b)

let iter ?(max = max_int) f l =
  if max < 1 then invalid_arg "Soil.Task: max is less than 1";
  scope @@ fun s ->
  let rest = ref l in
  let rec work () =
    match !rest with
    | [] -> ()
    | x :: l ->
        rest := l;
        f x;
        work ()
  in
  for _ = 1 to min max (List.length l) do
    ignore (spawn s work)
  done

let map ?max f l =
  let calls = List.map (fun x -> (ref None, x)) l in
  iter ?max (fun (r, x) -> r := Some (f x)) calls;
  List.filter_map (fun (r, _) -> !r) calls

let all ?max l = map ?max (fun f -> f ()) l

let fold ?max f add init l =
  let sum = ref init in
  let work x =
    let v = f x in
    sum := add !sum v
  in
  iter ?max work l;
  !sum

let is_none = function None -> true | Some _ -> false

let first l =
  if List.is_empty l then invalid_arg "Soil.Task.first: no functions";
  let winner = ref None in
  scope (fun s ->
      let compete f () =
        let v = f () in
        if is_none !winner then (
          winner := Some v;
          cancel_scope s)
      in
      List.iter (fun f -> ignore (spawn s (compete f))) l);
  match !winner with Some v -> v | None -> Scheduler.cancelled ()

let timeout_in_task seconds f =
  let at = Scheduler.deadline_after seconds in
  let context = Scheduler.enter () in
  let disarm = Scheduler.cancel_at context at in
  match f () with
  | v ->
      ignore (disarm ());
      Scheduler.leave context;
      Some v
  | exception e -> (
      let backtrace = Failure.get_backtrace () in
      let in_time = disarm () in
      Scheduler.leave context;
      match e with
      | Cancelled when (not in_time) && not (Scheduler.is_cancelled (Scheduler.current_context ()))
        ->
          None
      | e -> Soil_backtrace.reraise e backtrace)

let timeout_opt seconds f =
  if Owner.is_other () then (Blocking.get ()).timeout (Scheduler.deadline_after seconds) f
  else if Scheduler.in_task () then timeout_in_task seconds f
  else Scheduler.run (fun () -> timeout_in_task seconds f)

let timeout seconds f =
  match timeout_opt seconds f with Some v -> v | None -> Soil_backtrace.raise (Timeout seconds)

module Promise = Sync.Promise
module Mutex = Sync.Mutex
module Condition = Sync.Condition
module Semaphore = Sync.Semaphore
module Stream = Sync.Stream
module Local = Task_local
