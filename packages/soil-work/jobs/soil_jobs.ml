module Task = Soil.Task
module Clock = Soil.Clock
module Error = Soil.Error
module Kv = Soil.Kv

type store = {
  set : string -> string -> unit;
  remove : string -> unit;
  get : string -> string;
  list : unit -> string list;
}

let operation = "jobs"

let ok subject = function
  | Ok v -> v
  | Error (`Failed e) -> raise (Error.Error e)
  | Error `No_space -> Error.fail No_space operation ~subject
  | Error (`Not_found _) -> Error.fail Not_found operation ~subject
  | Error e -> Error.fail Io operation ~subject ~detail:(Kv.error_to_string e)

let kv t key =
  let path name = Kv.Key.add key name in
  let remove name =
    match Kv.remove t (path name) with Error (`Not_found _) -> () | r -> ok name r
  in
  let list () =
    match Kv.list t key with
    | Error (`Not_found _) -> []
    | r -> List.map (fun (key, _) -> Kv.Key.basename key) (ok (Kv.Key.to_string key) r)
  in
  let set name value = ok name (Kv.set t (path name) value) in
  { set; remove; get = (fun name -> ok name (Kv.get t (path name))); list }

type limits = {
  jobs : int;
  payload_bytes : int;
  attempts : int;
  backoff : Soil.Supervisor.backoff;
  key_seconds : float;
}

let default_limits =
  {
    jobs = 10_000;
    payload_bytes = 65_536;
    attempts = 10;
    backoff = { first = 1.; most = 3600.; jitter = 0.5 };
    key_seconds = 86_400.;
  }

(* Of writes that the store has refused. *)
let store_backoff = { Soil.Supervisor.first = 0.5; most = 30.; jitter = 0.5 }
let max_key = 256
let max_error = 1000

type id = string
type state = Record.state = Waiting | Running | Dead | Done

(* A job is in an index while its place is that. [Unsure] is one whose enqueue has failed, [Leaving]
   one whose removal has. Nothing else changes one that is [Moving], because a write for it isn't
   finished. *)
type place = Creating | Unsure | Ready | Delayed | Moving | Taken | Buried | Tombstone | Leaving

type entry = {
  id : id;
  key : string;  (** [""] without one. *)
  mutable place : place;
  mutable priority : int;
  mutable attempt : int;
  mutable due : float;  (** Of [Unsure], [Tombstone] and [Leaving] their end, by {!Clock.now}. *)
  mutable delay : float;  (** From the time on at which [due] was written. *)
  mutable noted : float;  (** When this process wrote or read [due], by {!Clock.monotonic}. *)
  mutable at : float;  (** When it is due, likewise. Fixed while it is in an index. *)
}

module Order = Map.Make (struct
  type t = int * float * id

  let compare (p, d, i) (q, e, j) =
    match Int.compare q p with
    | 0 -> ( match Float.compare d e with 0 -> String.compare i j | n -> n)
    | n -> n
end)

module Names = Map.Make (String)

type t = {
  store : store;
  limits : limits;
  session : int;  (** Random. *)
  entries : (id, entry) Hashtbl.t;
  keys : (string, entry) Hashtbl.t;
  changed : Task.Condition.t;
  loaded : float;  (** By {!Clock.monotonic}. *)
  mutable shift : float;  (** {!Clock.now} minus {!Clock.monotonic}, since the last step. *)
  mutable doubtful : entry list;  (** Those that were written later than now, by the clock. *)
  mutable last_ns : int;  (** The time of the last id. *)
  mutable ready : entry Order.t;
  mutable delayed : entry Order.t;  (** With priority 0. *)
  mutable ends : entry Order.t;  (** Likewise, those of [Unsure], [Tombstone] and [Leaving]. *)
  mutable buried : entry Names.t;
  mutable running : int;
  mutable refusals : int;  (** Failed operations of the store since the last success. *)
  mutable enqueued : int;
  mutable finished : int;
  mutable failures : int;
  mutable store_errors : int;
}

let random () = float (Soil.Random.int 65_536) /. 65_536.

(* Times. One of both clocks is enough: what was written while {!Clock.now} was wrong, perhaps by
   decades, is due after its delay nevertheless. *)

let shift () = Clock.now () -. Clock.monotonic ()

let set_due e delay =
  e.due <- Clock.now () +. delay;
  e.delay <- delay;
  e.noted <- Clock.monotonic ()

(* Sums of seconds since 1970 are exact to less than a microsecond. *)
let time_of t e = Float.min (e.noted +. e.delay) (e.due -. t.shift +. 1e-6)

(* The index *)

let order e = (0, e.at, e.id)
let ready_order e = (e.priority, e.at, e.id)

let unplace t e =
  (match e.place with
  | Ready -> t.ready <- Order.remove (ready_order e) t.ready
  | Delayed -> t.delayed <- Order.remove (order e) t.delayed
  | Unsure | Tombstone | Leaving -> t.ends <- Order.remove (order e) t.ends
  | Buried -> t.buried <- Names.remove e.id t.buried
  | Creating | Moving | Taken -> ());
  e.place <- Moving

let place t e place =
  if place <> Ready then e.at <- time_of t e;
  e.place <- place;
  (match place with
  | Ready -> t.ready <- Order.add (ready_order e) e t.ready
  | Delayed -> t.delayed <- Order.add (order e) e t.delayed
  | Unsure | Tombstone | Leaving -> t.ends <- Order.add (order e) e t.ends
  | Buried -> t.buried <- Names.add e.id e t.buried
  | Creating | Moving | Taken -> ());
  Task.Condition.broadcast t.changed

let forget t e =
  unplace t e;
  Hashtbl.remove t.entries e.id;
  (match Hashtbl.find_opt t.keys e.key with
  | Some other when other == e -> Hashtbl.remove t.keys e.key
  | Some _ | None -> ());
  Task.Condition.broadcast t.changed

(* The monotonic time, after steps of the other clock were seen. *)
let now t =
  let latest = shift () in
  if Float.abs (latest -. t.shift) > 1. then (
    t.shift <- latest;
    let again _ e =
      match e.place with
      | (Delayed | Unsure | Tombstone | Leaving) as where ->
          unplace t e;
          place t e where
      | Creating | Ready | Moving | Taken | Buried -> ()
    in
    Hashtbl.iter again t.entries);
  Clock.monotonic ()

let rec promote t now =
  match Order.min_binding_opt t.delayed with
  | Some (_, e) when e.at <= now ->
      unplace t e;
      place t e Ready;
      promote t now
  | Some _ | None -> ()

let add t e =
  Hashtbl.replace t.entries e.id e;
  if e.key <> "" then
    match Hashtbl.find_opt t.keys e.key with
    | Some { place = Buried | Ready | Delayed | Taken; _ } -> ()
    | Some _ | None -> Hashtbl.replace t.keys e.key e

(* Steps of the clock are seen after a minute. *)
let wait_until t at =
  let seconds = Float.max 0.001 (Float.min 60. (at -. Clock.monotonic ())) in
  ignore (Task.timeout_opt seconds (fun () -> Task.Condition.wait_no_mutex t.changed))

let next_due map = match Order.min_binding_opt map with Some (_, e) -> e.at | None -> infinity

(* Records *)

let record e state ~error ~payload =
  {
    Record.state;
    priority = e.priority;
    attempt = e.attempt;
    due = e.due;
    written = e.due -. e.delay;
    key = e.key;
    error;
    payload;
  }

let read t id = Record.of_string ~subject:id (t.store.get id)

(* Of the store: [f ()], which a cancellation doesn't interrupt. *)
let access t f =
  match Task.protect f with
  | v ->
      t.refusals <- 0;
      v
  | exception (Error.Error { code; _ } as e) ->
      let backtrace = Printexc.get_raw_backtrace () in
      if code <> Corrupt then t.refusals <- t.refusals + 1;
      t.store_errors <- t.store_errors + 1;
      Printexc.raise_with_backtrace e backtrace

(* [e] is moving during the access, and after a failure where it was. *)
let moving t e f =
  let before = e.place in
  unplace t e;
  Soil.Private.undoing (fun () -> place t e before) (fun () -> access t f)

(* After a failure the record may be there or not: it is removed later. *)
let remove t e =
  unplace t e;
  let leave () =
    set_due e 0.;
    place t e Leaving
  in
  Soil.Private.undoing leave (fun () -> access t (fun () -> t.store.remove e.id));
  forget t e

let pause t = Soil.Supervisor.delay store_backoff ~failures:(max 1 t.refusals) ~random:(random ())

(* Loading *)

let is_digit = function '0' .. '9' | 'a' .. 'f' -> true | _ -> false
let id s = if String.length s = 24 && String.for_all is_digit s then Some s else None
let lost = "the process ended during the last attempt"

let new_entry id ~key ~priority =
  let noted = Clock.monotonic () in
  { id; key; place = Creating; priority; attempt = 0; due = 0.; delay = 0.; noted; at = noted }

let load_record t id =
  let ns = int_of_string_opt ("0x" ^ String.sub id 0 16) in
  t.last_ns <- max t.last_ns (Option.value ns ~default:0);
  let e = new_entry id ~key:"" ~priority:0 in
  match read t id with
  | exception Error.Error { code = Corrupt; _ } ->
      add t e;
      place t e Buried
  | r ->
      let e = { (new_entry id ~key:r.key ~priority:r.priority) with attempt = r.attempt } in
      let clock = Clock.now () in
      e.due <- (if r.state = Running then Float.min r.due clock else r.due);
      e.delay <- Float.max 0. (e.due -. r.written);
      if r.written > clock then t.doubtful <- e :: t.doubtful;
      let put =
        match r.state with
        | Waiting -> Delayed
        | Running -> if r.attempt >= t.limits.attempts then Buried else Delayed
        | Dead -> Buried
        | Done -> Tombstone
      in
      e.place <- put;
      add t e;
      place t e put

let check_limits l =
  let b = l.backoff in
  if
    l.jobs < 1 || l.payload_bytes < 0 || l.attempts < 1
    || (not (l.key_seconds >= 0. && l.key_seconds <= 1e9))
    || not (b.first >= 0. && b.first <= b.most && b.most <= 1e9 && b.jitter >= 0. && b.jitter <= 1.)
  then invalid_arg "Soil_jobs.load: a limit is out of range"

let load ?(limits = default_limits) store =
  check_limits limits;
  let t =
    {
      store;
      limits;
      session = Soil.Random.int 0x4000_0000;
      entries = Hashtbl.create 64;
      keys = Hashtbl.create 64;
      changed = Task.Condition.create ();
      loaded = Clock.monotonic ();
      shift = shift ();
      doubtful = [];
      last_ns = 0;
      ready = Order.empty;
      delayed = Order.empty;
      ends = Order.empty;
      buried = Names.empty;
      running = 0;
      refusals = 0;
      enqueued = 0;
      finished = 0;
      failures = 0;
      store_errors = 0;
    }
  in
  List.iter (load_record t) (List.filter (fun name -> id name <> None) (store.list ()));
  t

(* Enqueueing *)

let new_id t =
  t.last_ns <- max (t.last_ns + 1) (Clock.now_ns ());
  Printf.sprintf "%016x%08x" t.last_ns t.session

let too_large subject detail = Error.fail Too_large operation ~subject ~detail

let check_job t ~key ~delay payload =
  if key = Some "" then invalid_arg "Soil_jobs.enqueue: an empty key";
  if not (delay >= 0. && delay <= 1e9) then invalid_arg "Soil_jobs.enqueue: a wrong delay";
  if String.length (Option.value key ~default:"") > max_key then
    too_large "key" (Printf.sprintf "more than %d bytes: use a hash" max_key);
  if String.length payload > t.limits.payload_bytes then
    too_large "payload"
      (Printf.sprintf "%d bytes, and the limit is %d: store it elsewhere, or set payload_bytes"
         (String.length payload) t.limits.payload_bytes)

let rec remove_ended t =
  match Order.min_binding_opt t.ends with
  | Some (_, e) when e.at <= now t ->
      remove t e;
      remove_ended t
  | Some _ | None -> ()

let check_room t =
  if Hashtbl.length t.entries >= t.limits.jobs then
    Error.fail Busy operation ~subject:"enqueue"
      ~detail:
        (Printf.sprintf "it has %d jobs, dead letters and keys: delete dead letters, or wait"
           t.limits.jobs)

let create t e ~delay payload =
  set_due e delay;
  e.place <- Creating;
  let unsure () =
    set_due e (if e.key = "" then 0. else t.limits.key_seconds);
    place t e Unsure
  in
  let text = Record.to_string (record e Waiting ~error:"" ~payload) in
  Soil.Private.undoing unsure (fun () -> access t (fun () -> t.store.set e.id text));
  t.enqueued <- t.enqueued + 1;
  place t e Delayed;
  e.id

let rec enqueue_key t ~key ~priority ~delay payload =
  match Hashtbl.find_opt t.keys key with
  | Some ({ place = Unsure; _ } as e) ->
      unplace t e;
      e.priority <- priority;
      create t e ~delay payload
  | Some { place = Creating | Moving; _ } ->
      Task.Condition.wait_no_mutex t.changed;
      enqueue_key t ~key ~priority ~delay payload
  | Some ({ place = Leaving; _ } as e) ->
      remove t e;
      enqueue_key t ~key ~priority ~delay payload
  | Some e when not (e.place = Tombstone && e.at <= now t) -> e.id
  | Some _ | None ->
      check_room t;
      let e = new_entry (new_id t) ~key ~priority in
      add t e;
      create t e ~delay payload

let enqueue ?key ?(priority = 0) ?(delay = 0.) t payload =
  check_job t ~key ~delay payload;
  (* Its record is a copy, there until it is stored. *)
  Soil.Budget.scratch @@ fun more ->
  more (String.length payload);
  if Hashtbl.length t.entries >= t.limits.jobs then remove_ended t;
  match key with
  | Some key -> enqueue_key t ~key ~priority ~delay payload
  | None ->
      check_room t;
      let e = new_entry (new_id t) ~key:"" ~priority in
      add t e;
      create t e ~delay payload

let state t id =
  match Hashtbl.find_opt t.entries id with
  | None | Some { place = Creating | Unsure | Leaving; _ } -> None
  | Some { place = Ready | Delayed | Moving; _ } -> Some Waiting
  | Some { place = Taken; _ } -> Some Running
  | Some { place = Buried; _ } -> Some Dead
  | Some { place = Tombstone; _ } -> Some Done

(* Dead letters *)

type job = { id : id; key : string option; attempt : int; payload : string }
type letter = { job : job; error : string; since : float }

let job (e : entry) payload =
  { id = e.id; key = (if e.key = "" then None else Some e.key); attempt = e.attempt; payload }

let letter t (e : entry) =
  match access t (fun () -> read t e.id) with
  | { state = Running; payload; _ } -> Some { job = job e payload; error = lost; since = e.due }
  | { error; payload; _ } -> Some { job = job e payload; error; since = e.due }
  | exception Error.Error ({ code = Corrupt; _ } as error) ->
      Some { job = job e ""; error = Error.to_string error; since = e.due }
  | exception Error.Error { code = Not_found; _ } -> None

let dead ?(after = "") ?(limit = 100) t =
  let behind = Names.to_seq_from after t.buried in
  let entries = Seq.filter_map (fun (id, e) -> if id = after then None else Some e) behind in
  List.filter_map (letter t) (List.of_seq (Seq.take (max 0 limit) entries))

let retry t id =
  match Hashtbl.find_opt t.entries id with
  | Some ({ place = Buried; _ } as e) ->
      let due = Clock.now () in
      moving t e (fun () ->
          let r = read t id in
          let r = { r with state = Waiting; attempt = 0; due; written = due } in
          t.store.set id (Record.to_string r));
      e.attempt <- 0;
      set_due e 0.;
      place t e Delayed;
      true
  | Some _ | None -> false

let delete t id =
  match Hashtbl.find_opt t.entries id with
  | Some ({ place = Buried | Ready | Delayed; _ } as e) ->
      remove t e;
      true
  | Some _ | None -> false

(* Work *)

type worker = { queue : t; run : job -> unit; explain : exn -> string; on_error : Error.t -> unit }

(* The payload of a job whose attempt is stored. *)
let take w (e : entry) =
  let t = w.queue in
  let write () =
    let r = read t e.id in
    let attempt = e.attempt + 1 in
    t.store.set e.id (Record.to_string { r with state = Running; attempt; due = e.due });
    e.attempt <- attempt;
    r.payload
  in
  match access t write with
  | payload -> Some payload
  | exception Error.Error ({ code; _ } as error) ->
      if code = Corrupt then place t e Buried
      else (
        set_due e (pause t);
        place t e Delayed);
      w.on_error error;
      None

(* Repeats a write until it succeeds. A cancelled task tries once. *)
let rec persist w f =
  let t = w.queue in
  match access t f with
  | () -> ()
  | exception Error.Error error ->
      w.on_error error;
      Clock.sleep (pause t);
      persist w f

let rewrite w e state ~error ~payload =
  let text = Record.to_string (record e state ~error ~payload) in
  persist w (fun () -> w.queue.store.set e.id text)

let finish w (e : entry) =
  let t = w.queue in
  if e.key = "" || t.limits.key_seconds = 0. then (
    persist w (fun () -> t.store.remove e.id);
    forget t e)
  else (
    set_due e t.limits.key_seconds;
    rewrite w e Done ~error:"" ~payload:"";
    place t e Tombstone);
  t.finished <- t.finished + 1

let cut s = if String.length s > max_error then String.sub s 0 max_error else s

let fail w (e : entry) payload error =
  let t = w.queue in
  t.failures <- t.failures + 1;
  let is_last = e.attempt >= t.limits.attempts in
  let delay () = Soil.Supervisor.delay t.limits.backoff ~failures:e.attempt ~random:(random ()) in
  set_due e (if is_last then 0. else delay ());
  rewrite w e (if is_last then Dead else Waiting) ~error ~payload;
  place t e (if is_last then Buried else Delayed)

(* It was cancelled: the attempt doesn't count. *)
let give_back w (e : entry) payload =
  e.attempt <- e.attempt - 1;
  rewrite w e Waiting ~error:"" ~payload;
  place w.queue e Delayed

let is_cancelled () = match Task.check () with () -> false | exception Task.Cancelled -> true

let perform w e =
  match take w e with
  | None -> ()
  | Some payload -> (
      match w.run (job e payload) with
      | () -> finish w e
      | exception _ when is_cancelled () -> give_back w e payload
      | exception exn ->
          Soil.Private.recover exn;
          fail w e payload (cut (w.explain exn)))

let rec next t =
  promote t (now t);
  match Order.min_binding_opt t.ready with
  | Some (_, e) ->
      unplace t e;
      e.place <- Taken;
      e
  | None ->
      wait_until t (next_due t.delayed);
      next t

(* After [perform] in any way, also if it never began. *)
let release t slots e =
  t.running <- t.running - 1;
  Task.Semaphore.release slots;
  if e.place = Taken then (
    (* Not at once: the scope of the jobs may be ending, in which none can run. *)
    set_due e 1.;
    place t e Delayed)

let rec dispatch w slots tasks =
  Task.Semaphore.acquire slots;
  let e = Soil.Private.undoing (fun () -> Task.Semaphore.release slots) (fun () -> next w.queue) in
  w.queue.running <- w.queue.running + 1;
  let release () = release w.queue slots e in
  let task = Soil.Private.undoing release (fun () -> Task.spawn tasks (fun () -> perform w e)) in
  Task.on_end task release;
  dispatch w slots tasks

(* The clock has had the time to be set: it is right, and what was written is wrong. A program that
   ends sooner begins the delays again. *)
let doubt_seconds = 600.

let rec rewrite_doubtful t =
  match t.doubtful with
  | e :: rest when now t >= t.loaded +. doubt_seconds ->
      let written = Clock.now () in
      (match e.place with
      | (Delayed | Tombstone) as where when e.due -. e.delay > written ->
          let delay = Float.max 0. (e.at -. Clock.monotonic ()) in
          let due = written +. delay in
          moving t e (fun () ->
              t.store.set e.id (Record.to_string { (read t e.id) with due; written }));
          set_due e delay;
          place t e where
      | _ -> ());
      t.doubtful <- rest;
      rewrite_doubtful t
  | _ -> ()

let rec sweep w =
  let t = w.queue in
  let work () =
    remove_ended t;
    rewrite_doubtful t
  in
  let doubt = if t.doubtful = [] then infinity else t.loaded +. doubt_seconds in
  (match work () with
  | () -> wait_until t (Float.min doubt (next_due t.ends))
  | exception Error.Error error ->
      w.on_error error;
      Clock.sleep (pause t));
  sweep w

(* The scope of the jobs' tasks, which the caller's cancellation doesn't reach before the body of
   [scope] has ended. *)
let protected_scope scope =
  let inner = Task.Promise.create () in
  let host () =
    Task.scope @@ fun tasks ->
    Task.Promise.fulfil inner tasks;
    Clock.sleep infinity
  in
  ignore (Task.spawn_daemon ~protected:true scope host);
  Task.Promise.await inner

let explain e =
  match (e, Error.printer e) with
  | _, Some text -> text
  | (Failure text | Invalid_argument text), None -> text
  | _ -> "an exception"

let report error = Soil.Private.print_error (fun () -> Error.to_string error)

let work ?(workers = 4) ?(grace = 5.) ?(explain = explain) ?(on_error = report) t run =
  if workers < 1 || not (grace >= 0.) then invalid_arg "Soil_jobs.work: a number is out of range";
  let w = { queue = t; run; explain; on_error } in
  let slots = Task.Semaphore.create workers in
  let drain () =
    for _ = 1 to workers do
      Task.Semaphore.acquire slots
    done
  in
  Task.scope @@ fun scope ->
  let tasks = protected_scope scope in
  ignore (Task.spawn_daemon scope (fun () -> sweep w));
  let stop () = Task.protect (fun () -> ignore (Task.timeout_opt grace drain)) in
  Soil.Private.undoing stop (fun () -> dispatch w slots tasks)

type statistics = {
  queued : int;
  delayed : int;
  running : int;
  dead : int;
  keys : int;
  enqueued : int;
  finished : int;
  failures : int;
  store_errors : int;
  oldest_seconds : float;
}

let statistics (t : t) =
  let now = now t in
  promote t now;
  let oldest = Order.fold (fun _ e oldest -> Float.min e.at oldest) t.ready now in
  {
    queued = Order.cardinal t.ready;
    delayed = Order.cardinal t.delayed;
    running = t.running;
    dead = Names.cardinal t.buried;
    keys = Order.cardinal t.ends;
    enqueued = t.enqueued;
    finished = t.finished;
    failures = t.failures;
    store_errors = t.store_errors;
    oldest_seconds = now -. oldest;
  }
