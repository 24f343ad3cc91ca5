type restart = Always | On_failure | Never
type rule = One | All | Rest
type limit = { restarts : int; within : float }
type backoff = { first : float; most : float; jitter : float }

let default_limit = { restarts = 5; within = 30. }
let default_backoff = { first = 0.1; most = 10.; jitter = 0.5 }

let delay backoff ~failures ~random =
  let rec double d n =
    if n <= 1 || d >= backoff.most || d = 0. then d else double (2. *. d) (n - 1)
  in
  min backoff.most (double backoff.first failures) *. (1. -. (backoff.jitter *. random))

type reason = Returned | Failed of exn * Failure.backtrace | Late | Stopped
type state = Starting | Ready | Waiting of float | Stopping | Overdue | Ended of reason

type health = {
  name : string;
  state : state;
  restarts : int;
  last : reason option;
  children : health list;
}

exception Gave_up of { message : string; child : string; reason : reason }
exception Gone of string * reason

(* What is to become of a child; [Leave] is [End], and to be taken out of its supervisor. *)
type intent = Keep | Renew | End | Leave

(* Whether the child that unwinds was asked to, and why. *)
type request = Not_asked | To_stop | Too_late

(* What a child says of itself; it also unwinds while what it owns is released. *)
type signal = Is_ready | Unwinding

type entry = {
  child_name : string;
  restart : restart;
  start_within : float;
  stop_within : float;
  main : Task.scope -> (signal -> unit) -> unit;
  below : unit -> t option;  (** The supervisor that the child is. *)
  mutable now : state;
  mutable intent : intent;
  mutable request : request;
  mutable scope : Task.scope option;
  mutable deadline : float;  (** Of the start, or of the stop. *)
  mutable not_before : float;  (** When it may start. *)
  mutable starts : int;
  mutable failures : int;  (** In a row. *)
  mutable ready_at : float option;
  mutable last_end : reason option;
}

and t = {
  path : string;  (** Before the names of the children. *)
  rule : rule;
  limit : limit;
  backoff : backoff;
  report : string -> health -> unit;
  closing : unit -> unit;  (** Called when it begins to end. *)
  scope : Task.scope;
  changed : Task.Condition.t;
  mutable entries : entry list;  (** In order. *)
  mutable failed_at : float list;  (** Of the ends that asked for a restart, the youngest first. *)
  mutable phase : phase;
  mutable body : Scheduler.context option;  (** As long as it runs. *)
  mutable failure : (exn * Failure.backtrace) option;
  mutable dirty : bool;  (** Something has changed since the manager last looked. *)
}

and phase = Filling | Running | Closing

type 'a child = { supervisor : t; entry : entry; value : 'a option ref }

(* Text *)

let reason_to_string = function
  | Returned -> "returned"
  | Failed (e, _) -> Failure.exception_to_string e
  | Late -> "not ready in time"
  | Stopped -> "stopped"

let state_to_string = function
  | Starting -> "starting"
  | Ready -> "ready"
  | Waiting _ -> "waiting"
  | Stopping -> "stopping"
  | Overdue -> "overdue"
  | Ended reason -> "ended: " ^ reason_to_string reason

let health_to_string list =
  let rec line indent h =
    let restarts =
      match h.restarts with
      | 0 -> ""
      | 1 -> ", 1 restart"
      | n -> ", " ^ string_of_int n ^ " restarts"
    in
    let last =
      match (h.state, h.last) with
      | Ended _, _ | _, None -> ""
      | _, Some reason -> ", the last time: " ^ reason_to_string reason
    in
    let own = indent ^ h.name ^ ": " ^ state_to_string h.state ^ restarts ^ last in
    let one_line = String.concat "\\n" (String.split_on_char '\n' own) in
    one_line ^ "\n" ^ lines (indent ^ "  ") h.children
  and lines indent list = String.concat "" (List.map (line indent) list) in
  lines "" list

let pp_health f list = Print.string f (health_to_string list)
let pp_reason f reason = Print.string f (reason_to_string reason)

(* Health *)

let rec health t = List.map health_of t.entries

and health_of entry =
  {
    name = entry.child_name;
    state = entry.now;
    restarts = max 0 (entry.starts - 1);
    last = entry.last_end;
    children = (match entry.below () with Some t -> health t | None -> []);
  }

let rec are_up list =
  List.for_all
    (fun h ->
      (match h.state with Ready | Ended Returned -> true | _ -> false) && are_up h.children)
    list

let is_up t = t.phase = Running && are_up (health t)

let report_failures path h =
  match (h.state, h.last) with
  | (Waiting _ | Ended _), Some (Failed (e, backtrace)) ->
      Failure.report (fun () -> "Soil.Supervisor: " ^ path ^ ": ") e backtrace
  | (Waiting _ | Ended _), Some Late ->
      Failure.print (fun () -> "Soil.Supervisor: " ^ path ^ ": not ready in time\n")
  | _ -> ()

(* States *)

let poke t =
  t.dirty <- true;
  Task.Condition.broadcast t.changed

let set t entry state =
  entry.now <- state;
  (try t.report (t.path ^ entry.child_name) (health_of entry)
   with e -> Failure.report (fun () -> "Soil.Supervisor: report: ") e (Failure.get_backtrace ()));
  poke t

let is_alive entry =
  match entry.now with
  | Starting | Ready | Stopping | Overdue -> true
  | Waiting _ | Ended _ -> false

let is_done entry = match entry.now with Ready | Ended _ -> true | _ -> false

let end_waiting t entry =
  match entry.now with
  | Waiting _ -> set t entry (Ended (Option.value entry.last_end ~default:Stopped))
  | _ -> ()

(* From now on nothing starts, and the manager ends what runs. *)
let close t =
  if t.phase <> Closing then t.closing ();
  t.phase <- Closing;
  List.iter
    (fun entry ->
      if not (is_alive entry) then end_waiting t entry
      else if entry.intent <> Leave then entry.intent <- End)
    t.entries;
  poke t

(* A number from 0 to 1 that differs among machines that fail at one moment. *)
let random entry =
  float_of_int (Print.hash (entry.child_name, Clock.now_ns (), Clock.monotonic_ns ()) land 0xffff)
  /. 65536.

let give_up t entry reason backtrace =
  set t entry (Ended reason);
  let times =
    string_of_int t.limit.restarts ^ " restarts in " ^ Text.number t.limit.within ^ " s"
  in
  let child = t.path ^ entry.child_name in
  let message = child ^ ": more than " ^ times ^ ", the last after: " ^ reason_to_string reason in
  t.failure <- Some (Gave_up { message; child; reason }, backtrace);
  close t;
  Option.iter Scheduler.cancel t.body

let rec from entry = function
  | [] -> []
  | e :: rest as list -> if e == entry then list else from entry rest

let request_restart t entry reason =
  let now = Clock.monotonic () in
  t.failed_at <- List.filter (fun at -> now -. at < t.limit.within) t.failed_at;
  if List.length t.failed_at >= t.limit.restarts then
    give_up t entry reason
      (match reason with Failed (_, backtrace) -> backtrace | _ -> Failure.get_backtrace ())
  else (
    if t.limit.restarts < max_int then t.failed_at <- now :: t.failed_at;
    let was_steady =
      match entry.ready_at with Some at -> now -. at >= t.backoff.most | None -> false
    in
    entry.failures <- (if was_steady then 1 else entry.failures + 1);
    let until = now +. delay t.backoff ~failures:entry.failures ~random:(random entry) in
    let concerned =
      match t.rule with One -> [ entry ] | All -> t.entries | Rest -> from entry t.entries
    in
    let renew e =
      e.not_before <- max e.not_before until;
      if e == entry then set t e (Waiting e.not_before)
      else
        match e.now with
        | Waiting _ -> set t e (Waiting e.not_before)
        | Ended _ -> ()
        | _ -> if e.intent = Keep then e.intent <- Renew
    in
    List.iter renew concerned)

let forget t entry = t.entries <- List.filter (fun e -> e != entry) t.entries

let is_cancelled t =
  match t.body with Some context -> Scheduler.is_cancelled context | None -> false

let ended t entry reason =
  (* [Soil.exit] in a child, before the body has had its turn to unwind. *)
  if is_cancelled t then close t;
  entry.scope <- None;
  entry.last_end <- Some reason;
  (match (entry.intent, entry.restart, reason) with
  | (End | Leave), _, _ | Renew, Never, _ | Keep, Never, _ | Keep, On_failure, Returned ->
      set t entry (Ended reason)
  | Renew, (Always | On_failure), _ -> set t entry (Waiting entry.not_before)
  | Keep, (Always | On_failure), _ -> request_restart t entry reason);
  entry.ready_at <- None;
  if entry.intent = Leave then forget t entry;
  poke t

(* A child *)

let begin_stop t (entry : entry) =
  entry.deadline <- Clock.monotonic () +. entry.stop_within;
  set t entry Stopping

let signal t entry signal =
  match (signal, entry.now) with
  | Is_ready, Starting ->
      entry.ready_at <- Some (Clock.monotonic ());
      set t entry Ready
  | Unwinding, (Starting | Ready) -> begin_stop t entry
  | _ -> ()

let live t (entry : entry) () =
  let in_scope scope =
    entry.scope <- Some scope;
    if entry.request <> Not_asked then Task.cancel_scope scope;
    try
      Task.check ();
      entry.main scope (signal t entry)
    with e ->
      let backtrace = Failure.get_backtrace () in
      signal t entry Unwinding;
      Soil_backtrace.reraise e backtrace
  in
  let reason =
    match (Task.scope in_scope, entry.request) with
    | (), Not_asked -> Returned
    | (), To_stop -> Stopped
    | (), Too_late -> Late
    | exception e -> (
        let backtrace = Failure.get_backtrace () in
        ignore (Shortage.recover e);
        match (e, entry.request) with
        | Task.Cancelled, To_stop -> Stopped
        | Task.Cancelled, Not_asked when is_cancelled t -> Stopped
        | Task.Cancelled, Too_late -> Late
        | e, _ -> Failed (e, backtrace))
  in
  ended t entry reason

let ask t (entry : entry) request =
  entry.request <- request;
  begin_stop t entry;
  Option.iter Task.cancel_scope entry.scope

let start t entry =
  entry.intent <- Keep;
  entry.request <- Not_asked;
  entry.starts <- entry.starts + 1;
  entry.deadline <- Clock.monotonic () +. entry.start_within;
  set t entry Starting;
  ignore (Task.spawn t.scope (live t entry))

(* The manager: all that happens at a time, or in an order. *)

let enforce_deadlines t now =
  List.iter
    (fun (entry : entry) ->
      if now >= entry.deadline then
        match entry.now with
        | Starting -> ask t entry Too_late
        | Stopping -> set t entry Overdue
        | Ready | Waiting _ | Overdue | Ended _ -> ())
    t.entries

let is_to_end entry = is_alive entry && entry.intent <> Keep

(* The youngest of those that are to end and don't yet, if none after it unwinds. *)
let rec stop_next t = function
  | [] -> ()
  | entry :: before -> (
      match entry.now with
      | (Starting | Ready) when is_to_end entry -> ask t entry To_stop
      | Stopping when is_to_end entry -> ()
      | _ -> stop_next t before)

let rec start_due t now = function
  | [] -> ()
  | entry :: rest ->
      (match entry.now with Waiting at when at <= now -> start t entry | _ -> ());
      if t.rule = One || is_done entry then start_due t now rest

let next_deadline t now =
  let earlier next (entry : entry) =
    match entry.now with
    | Starting | Stopping -> min next entry.deadline
    | Waiting at when at > now -> min next at
    | Ready | Waiting _ | Overdue | Ended _ -> next
  in
  List.fold_left earlier infinity t.entries

let rec manage t =
  t.dirty <- false;
  let now = Clock.monotonic () in
  enforce_deadlines t now;
  stop_next t (List.rev t.entries);
  if t.phase <> Closing && (t.rule = One || not (List.exists is_to_end t.entries)) then
    start_due t now t.entries;
  if t.dirty then manage t
  else if t.phase <> Closing || List.exists is_alive t.entries then (
    let wait () = Task.Condition.wait_no_mutex t.changed in
    (match next_deadline t now with
    | at when at = infinity -> wait ()
    | at -> ignore (Task.timeout_opt (at -. now) wait));
    manage t)

let pause_after_shortage = 0.05

(* What it has to do is in the entries, and can be done again. *)
let rec manage_always t =
  try manage t
  with e when Shortage.recover e ->
    Clock.sleep pause_after_shortage;
    manage_always t

(* Supervisors *)

let rec wait_until t condition =
  if not (condition ()) then (
    Task.Condition.wait_no_mutex t.changed;
    wait_until t condition)

let check_rules (limit : limit) backoff =
  if not (limit.restarts >= 0 && limit.within > 0.) then
    invalid_arg "Soil.Supervisor: a limit out of range";
  if not (backoff.first >= 0. && backoff.most >= backoff.first) then
    invalid_arg "Soil.Supervisor: a back-off out of range";
  if not (backoff.jitter >= 0. && backoff.jitter <= 1.) then
    invalid_arg "Soil.Supervisor: jitter not between 0 and 1"

(* [body] runs below the caller's context, and gets its cancellation. Manager and children are
   protected, and end in their order. *)
let supervise ~path ~rule ~limit ~backoff ~report ~closing body =
  let caller = Scheduler.current_context () in
  Task.protect @@ fun () ->
  Task.scope @@ fun scope ->
  let t =
    {
      path;
      rule;
      limit;
      backoff;
      report;
      closing;
      scope;
      changed = Task.Condition.create ();
      entries = [];
      failed_at = [];
      phase = Filling;
      body = None;
      failure = None;
      dirty = false;
    }
  in
  let manager = Task.spawn scope (fun () -> manage_always t) in
  let in_caller () =
    t.body <- Some (Scheduler.current_context ());
    body t;
    if t.phase = Filling then t.phase <- Running;
    poke t;
    wait_until t (fun () -> t.phase = Closing)
  in
  let outcome =
    match Scheduler.within caller in_caller with
    | () -> None
    | exception e -> Some (e, Failure.get_backtrace ())
  in
  t.body <- None;
  close t;
  Task.await manager;
  match (t.failure, outcome) with
  | Some (e, backtrace), _ | None, Some (e, backtrace) -> Soil_backtrace.reraise e backtrace
  | None, None -> ()

let run ?(rule = One) ?(limit = default_limit) ?(backoff = default_backoff)
    ?(report = report_failures) body =
  check_rules limit backoff;
  let in_task () = supervise ~path:"" ~rule ~limit ~backoff ~report ~closing:ignore body in
  if Scheduler.in_task () then in_task () else Scheduler.run in_task

let stop t =
  close t;
  wait_until t (fun () -> not (List.exists is_alive t.entries))

(* Children *)

let is_bad_in_names c = c = '/' || c < ' ' || c = '\127'

let check_new t name start_within stop_within =
  if name = "" || String.exists is_bad_in_names name then
    invalid_arg "Soil.Supervisor: a name is empty, or has a slash or a control character";
  if not (start_within >= 0. && stop_within >= 0.) then
    invalid_arg "Soil.Supervisor: a negative time";
  if List.exists (fun entry -> entry.child_name = name) t.entries then
    invalid_arg ("Soil.Supervisor: there is a child " ^ t.path ^ name);
  if t.phase = Closing then
    Error.fail Closed "supervisor" ~subject:(t.path ^ name)
      ~detail:"the supervisor is being stopped, and takes no more children"

let add_entry t name restart start_within stop_within ~below ~value main =
  check_new t name start_within stop_within;
  let entry =
    {
      child_name = name;
      restart;
      start_within;
      stop_within;
      main;
      below;
      now = Waiting 0.;
      intent = Keep;
      request = Not_asked;
      scope = None;
      deadline = infinity;
      not_before = 0.;
      starts = 0;
      failures = 0;
      ready_at = None;
      last_end = None;
    }
  in
  t.entries <- List.rev (entry :: List.rev t.entries);
  poke t;
  wait_until t (fun () -> is_done entry);
  { supervisor = t; entry; value }

let add ?(restart = Always) ?(start_within = infinity) ?(stop_within = 5.) ?run t name start =
  let value = ref None in
  let main scope signal =
    let v = start scope in
    value := Some v;
    signal Is_ready;
    match run with Some run -> run v | None -> Clock.sleep infinity
  in
  add_entry t name restart start_within stop_within ~below:(fun () -> None) ~value main

let add_supervisor ?(restart = Always) ?(stop_within = infinity) ?(rule = One)
    ?(limit = default_limit) ?(backoff = default_backoff) t name body =
  check_rules limit backoff;
  let below = ref None in
  let main _ signal =
    let body inner =
      below := Some inner;
      body inner;
      signal Is_ready
    in
    let path = t.path ^ name ^ "/" and closing () = signal Unwinding in
    let forget () = below := None in
    Fun.protect ~finally:forget (fun () ->
        supervise ~path ~rule ~limit ~backoff ~report:t.report ~closing body)
  in
  add_entry t name restart infinity stop_within
    ~below:(fun () -> !below)
    ~value:(ref (Some ())) main

let get_opt c = if c.entry.now = Ready then !(c.value) else None

let rec get c =
  match (c.entry.now, !(c.value)) with
  | Ready, Some v -> v
  | Ended reason, _ -> Soil_backtrace.raise (Gone (c.entry.child_name, reason))
  | _ ->
      Task.Condition.wait_no_mutex c.supervisor.changed;
      get c

let remove c =
  let t = c.supervisor and entry = c.entry in
  if is_alive entry then entry.intent <- Leave
  else (
    end_waiting t entry;
    forget t entry);
  poke t;
  wait_until t (fun () -> not (is_alive entry))
