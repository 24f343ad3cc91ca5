let rec wake_all queue =
  match Scheduler.wake_first queue with None -> () | Some _ -> wake_all queue

module Promise = struct
  type 'a state = Empty | Value of 'a | Broken of exn
  type 'a t = { mutable state : 'a state; awaiting : Scheduler.fiber Waiters.t }

  let create () = { state = Empty; awaiting = Waiters.create () }

  let try_resolve p state =
    Owner.check ();
    match p.state with
    | Empty ->
        p.state <- state;
        wake_all p.awaiting;
        true
    | Value _ | Broken _ -> false

  let resolve p state =
    if not (try_resolve p state) then
      invalid_arg "Soil.Task.Promise: the promise is resolved already"

  let fulfil p v = resolve p (Value v)
  let try_fulfil p v = try_resolve p (Value v)
  let break p e = resolve p (Broken e)

  let rec await p =
    match p.state with
    | Value v -> v
    | Broken e -> raise e
    | Empty ->
        Scheduler.wait_in p.awaiting;
        await p

  let peek p = match p.state with Value v -> Some v | Empty | Broken _ -> None
end

module Mutex = struct
  type t = { mutable holder : Scheduler.fiber option; waiting : Scheduler.fiber Waiters.t }

  let create () = { holder = None; waiting = Waiters.create () }
  let is_held_by fiber m = match m.holder with Some f -> f == fiber | None -> false

  let lock_with wait m =
    let self = Scheduler.self () in
    match m.holder with
    | None -> m.holder <- Some self
    | Some fiber when fiber == self ->
        invalid_arg "Soil.Task.Mutex.lock: this task holds the mutex already"
    | Some fiber when Scheduler.is_over fiber ->
        invalid_arg "Soil.Task.Mutex.lock: a task of a run that has failed holds the mutex"
    | Some _ ->
        (* [unlock] hands it over. *)
        wait m.waiting

  let lock m = lock_with Scheduler.wait_in m
  let lock_protected m = lock_with Scheduler.wait_in_protected m

  let try_lock m =
    match m.holder with
    | None ->
        m.holder <- Some (Scheduler.self ());
        true
    | Some _ -> false

  let unlock m =
    if not (is_held_by (Scheduler.self ()) m) then
      invalid_arg "Soil.Task.Mutex.unlock: this task doesn't hold the mutex";
    m.holder <- Scheduler.wake_first m.waiting

  let protect m f =
    lock m;
    Failure.finally (fun () -> unlock m) f
end

module Condition = struct
  type t = Scheduler.fiber Waiters.t

  let create = Waiters.create
  let wait_no_mutex = Scheduler.wait_in

  let wait c m =
    let lock () = Mutex.lock_protected m and wait () = Scheduler.wait_in c in
    Mutex.unlock m;
    Failure.finally lock wait

  let signal c = ignore (Scheduler.wake_first c)

  (* Wakes only the present waiters, not a fiber that waits again in the meantime. *)
  let broadcast = wake_all
end

module Semaphore = struct
  type t = { mutable units : int; waiting : Scheduler.fiber Waiters.t }

  let create units =
    if units < 0 then invalid_arg "Soil.Task.Semaphore.create: less than 0 units";
    { units; waiting = Waiters.create () }

  let try_acquire s =
    Owner.check ();
    s.units > 0
    &&
    (s.units <- s.units - 1;
     true)

  (* A released unit goes to the first waiter, so there are no waiters while there are units. *)
  let acquire s = if not (try_acquire s) then Scheduler.wait_in s.waiting

  let release s =
    match Scheduler.wake_first s.waiting with None -> s.units <- s.units + 1 | Some _ -> ()

  let available s = s.units

  let with_unit s f =
    acquire s;
    Failure.finally (fun () -> release s) f
end

module Stream = struct
  type 'a t = {
    capacity : int;
    values : 'a Waiters.t;
    mutable length : int;  (** Of [values]. *)
    mutable closed : bool;
    mutable woken : int;  (** Takers with a value of their own, before their turn. *)
    for_value : Scheduler.fiber Waiters.t;
    for_room : Scheduler.fiber Waiters.t;
  }

  let create capacity =
    if capacity < 0 then invalid_arg "Soil.Task.Stream.create: capacity is negative";
    {
      capacity;
      values = Waiters.create ();
      length = 0;
      closed = false;
      woken = 0;
      for_value = Waiters.create ();
      for_room = Waiters.create ();
    }

  let length s = s.length

  let try_push s v =
    Owner.check ();
    if s.closed then Error.fail Closed "stream push" ~detail:"the stream is closed";
    (s.length - s.woken < s.capacity || not (Waiters.is_empty s.for_value))
    &&
    (ignore (Waiters.add s.values v);
     s.length <- s.length + 1;
     (match Scheduler.wake_first s.for_value with Some _ -> s.woken <- s.woken + 1 | None -> ());
     true)

  let rec push s v =
    if not (try_push s v) then (
      Scheduler.wait_in s.for_room;
      push s v)

  let poll s =
    Owner.check ();
    let v = Waiters.take s.values in
    (match v with
    | None -> ()
    | Some _ ->
        s.length <- s.length - 1;
        ignore (Scheduler.wake_first s.for_room));
    v

  let rec take_opt s =
    match poll s with
    | Some _ as v -> v
    | None when s.closed -> None
    | None ->
        ignore (Scheduler.wake_first s.for_room);
        Scheduler.wait_in s.for_value;
        if s.woken > 0 then s.woken <- s.woken - 1;
        take_opt s

  let rec iter f s =
    match take_opt s with
    | Some v ->
        f v;
        iter f s
    | None -> ()

  let take s = match take_opt s with Some v -> v | None -> Soil_backtrace.raise End_of_file

  let close s =
    Owner.check ();
    s.closed <- true;
    wake_all s.for_value;
    wake_all s.for_room
end
