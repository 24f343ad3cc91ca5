(* Tasks of several domains change these values within a guard. Wakes follow after it. *)

let rec wake_all queue =
  match Scheduler.wake_first queue with None -> () | Some _ -> wake_all queue

module Promise = struct
  type 'a state = Empty | Value of 'a | Broken of exn
  type 'a t = { mutable state : 'a state; awaiting : Scheduler.fiber Waiters.t }

  let create () = { state = Empty; awaiting = Waiters.create () }
  let is_empty p = match p.state with Empty -> true | Value _ | Broken _ -> false

  let try_resolve p state =
    Owner.check ();
    let guard = Waiters.guard p.awaiting in
    Guard.enter guard;
    let first = is_empty p in
    if first then p.state <- state;
    Guard.leave guard;
    if first then wake_all p.awaiting;
    first

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
        Scheduler.wait_unless (fun () -> not (is_empty p)) p.awaiting;
        await p

  let peek p = match p.state with Value v -> Some v | Empty | Broken _ -> None
end

module Mutex = struct
  type t = { mutable holder : Scheduler.fiber; waiting : Scheduler.fiber Waiters.t }

  (* The holder of a free mutex: no task's fiber. Outside of [run] the program may hold one, too. *)
  let unheld = Fiber.ended
  let create () = { holder = unheld; waiting = Waiters.create () }

  (* Within the guard. *)
  let take m self () =
    let free = m.holder == unheld in
    if free then m.holder <- self;
    free

  let lock_with wait_unless m =
    let self = Scheduler.self () in
    let holder = m.holder in
    if holder == self then invalid_arg "Soil.Task.Mutex.lock: this task holds the mutex already"
    else if holder != unheld && Scheduler.is_over holder then
      invalid_arg "Soil.Task.Mutex.lock: a task of a run that has failed holds the mutex"
    else
      (* [unlock] hands it over. *)
      wait_unless (take m self) m.waiting

  let try_lock m =
    let self = Scheduler.self () and guard = Waiters.guard m.waiting in
    Guard.enter guard;
    let taken = take m self () in
    Guard.leave guard;
    taken

  let lock m = if m.holder != unheld || not (try_lock m) then lock_with Scheduler.wait_unless m
  let lock_protected m = lock_with Scheduler.wait_unless_protected m
  let is_held m = m.holder == Scheduler.self ()

  let check_held m =
    if not (is_held m) then invalid_arg "Soil.Task.Mutex.unlock: this task doesn't hold the mutex"

  let unlock m =
    check_held m;
    let guard = Waiters.guard m.waiting in
    Guard.enter guard;
    let next = Scheduler.take_first m.waiting in
    (match Waiters.value next with Some fiber -> m.holder <- fiber | None -> m.holder <- unheld);
    Guard.leave guard;
    Scheduler.wake_taken next

  let protect m f =
    lock m;
    Failure.finally (fun () -> unlock m) f
end

module Condition = struct
  type t = Scheduler.fiber Waiters.t

  let create = Waiters.create
  let wait_no_mutex = Scheduler.wait_in

  (* The task is in the queue before others can have the mutex. *)
  let wait c m =
    Mutex.check_held m;
    let queued () = Mutex.unlock m in
    let lock () = if not (Mutex.is_held m) then Mutex.lock_protected m in
    Failure.finally lock (fun () -> Scheduler.wait_unless ~queued (fun () -> false) c)

  let signal c = ignore (Scheduler.wake_first c)

  (* Wakes only the present waiters, not a fiber that waits again in the meantime. *)
  let broadcast = wake_all
end

module Semaphore = struct
  type t = { mutable units : int; waiting : Scheduler.fiber Waiters.t }

  let create units =
    if units < 0 then invalid_arg "Soil.Task.Semaphore.create: less than 0 units";
    { units; waiting = Waiters.create () }

  (* Within the guard. *)
  let take s () =
    s.units > 0
    &&
    (s.units <- s.units - 1;
     true)

  let try_acquire s =
    Owner.check ();
    let guard = Waiters.guard s.waiting in
    Guard.enter guard;
    let taken = take s () in
    Guard.leave guard;
    taken

  (* A released unit goes to the first waiter, so there are no waiters while there are units. *)
  let acquire s = if not (try_acquire s) then Scheduler.wait_unless (take s) s.waiting

  let release s =
    Owner.check ();
    let guard = Waiters.guard s.waiting in
    Guard.enter guard;
    let next = Scheduler.take_first s.waiting in
    if next == s.waiting then s.units <- s.units + 1;
    Guard.leave guard;
    Scheduler.wake_taken next

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
    let guard = Guard.create () in
    {
      capacity;
      values = Waiters.create_under guard;
      length = 0;
      closed = false;
      woken = 0;
      for_value = Waiters.create_under guard;
      for_room = Waiters.create_under guard;
    }

  let length s = s.length
  let enter s = Guard.enter (Waiters.guard s.values)
  let leave s = Guard.leave (Waiters.guard s.values)
  let is_waited queue = not (Waiters.is_empty queue)
  let has_room s () = s.closed || s.length - s.woken < s.capacity || is_waited s.for_value

  let try_push s v =
    Owner.check ();
    let entry = Waiters.entry s.values v in
    enter s;
    let closed = s.closed in
    let pushed = (not closed) && has_room s () in
    let taker =
      if pushed then (
        Waiters.link s.values entry;
        s.length <- s.length + 1;
        let taker = Scheduler.take_first s.for_value in
        if taker != s.for_value then s.woken <- s.woken + 1;
        taker)
      else s.for_value
    in
    leave s;
    Scheduler.wake_taken taker;
    if closed then Error.fail Closed "stream push" ~detail:"the stream is closed";
    pushed

  let rec push s v =
    if not (try_push s v) then (
      Scheduler.wait_unless (has_room s) s.for_room;
      push s v)

  (* Within the guard. *)
  let take_value s =
    let value = Waiters.take s.values in
    if value != None then s.length <- s.length - 1;
    value

  (* The oldest value, if there is one; [at_end] if there will be none. *)
  let take_oldest s at_end =
    Owner.check ();
    enter s;
    let value = take_value s in
    let pusher = if value != None then Scheduler.take_first s.for_room else s.for_room in
    (* Within the guard: outside, another domain's push may be seen after its close. *)
    at_end := value == None && s.closed;
    leave s;
    Scheduler.wake_taken pusher;
    value

  let poll s = take_oldest s (ref false)

  (* Woken, a taker has a value of its own, unless the stream was closed. *)
  let await_value s =
    let waited = ref true in
    let has_value () =
      let ready = s.closed || s.length > 0 in
      if ready then waited := false;
      ready
    in
    (* Of a stream without room for a value, a pusher waits for a taker in the queue. *)
    let queued () = ignore (Scheduler.wake_first s.for_room) in
    Scheduler.wait_unless ~queued has_value s.for_value;
    if !waited then (
      enter s;
      if s.woken > 0 then s.woken <- s.woken - 1;
      leave s)

  let rec take_opt s =
    let at_end = ref false in
    let value = take_oldest s at_end in
    if value != None || !at_end then value
    else (
      await_value s;
      take_opt s)

  let rec iter f s =
    match take_opt s with
    | Some v ->
        f v;
        iter f s
    | None -> ()

  let take s = match take_opt s with Some v -> v | None -> Soil_backtrace.raise End_of_file

  let close s =
    Owner.check ();
    enter s;
    s.closed <- true;
    leave s;
    wake_all s.for_value;
    wake_all s.for_room
end
