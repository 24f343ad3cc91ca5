type policy = Drop_oldest | End_slow
type 'a event = Message of 'a | Missed of int | Ended

(* [slots] is a ring: value [n] is at [n mod capacity]. What the tasks of several domains change is
   changed within the guard of [changed]. *)
type 'a t = {
  slots : 'a event array;
  changed : Scheduler.fiber Waiters.t;
  mutable published : int;
  mutable is_closed : bool;
  mutable subscribers : int;
}

type 'a subscription = {
  broadcast : 'a t;
  policy : policy;
  max_lag : int;
  mutable next : int;  (** The number of the value to take. *)
  mutable has_ended : bool;
}

let create capacity =
  if capacity < 1 then invalid_arg "Soil.Broadcast.create: capacity is less than 1";
  {
    slots = Array.make capacity Ended;
    changed = Waiters.create ();
    published = 0;
    is_closed = false;
    subscribers = 0;
  }

let published b = b.published
let subscribers b = b.subscribers
let capacity b = Array.length b.slots
let enter b = Guard.enter (Waiters.guard b.changed)
let leave b = Guard.leave (Waiters.guard b.changed)

let publish b v =
  Owner.check ();
  if b.is_closed then Error.fail Closed "publish" ~detail:"the broadcast is closed";
  let message = Message v in
  enter b;
  b.slots.(b.published mod capacity b) <- message;
  b.published <- b.published + 1;
  leave b;
  Sync.wake_all b.changed

let close b =
  Owner.check ();
  b.is_closed <- true;
  Sync.wake_all b.changed

let count_subscribers b n =
  enter b;
  b.subscribers <- b.subscribers + n;
  leave b

let unsubscribe s =
  if not s.has_ended then (
    s.has_ended <- true;
    count_subscribers s.broadcast (-1);
    Sync.wake_all s.broadcast.changed)

let subscribe ?(policy = Drop_oldest) ?max_lag ?(replay = 0) scope b =
  Owner.check ();
  let max_lag = match max_lag with Some n -> n | None -> capacity b in
  if max_lag < 1 || max_lag > capacity b then
    invalid_arg "Soil.Broadcast.subscribe: max_lag isn't between 1 and the capacity";
  if replay < 0 then invalid_arg "Soil.Broadcast.subscribe: replay is negative";
  let next = max 0 (b.published - replay) in
  let s = { broadcast = b; policy; max_lag; next; has_ended = false } in
  Task.on_release scope (fun () -> unsubscribe s);
  count_subscribers b 1;
  s

let lag s = if s.has_ended then 0 else s.broadcast.published - s.next

let miss s n =
  s.next <- s.next + n;
  if s.policy = End_slow then unsubscribe s;
  Some (Missed n)

(* The value after those taken, unless it was overwritten meanwhile. *)
let read s =
  let b = s.broadcast in
  enter b;
  let in_time = b.published - s.next <= capacity b in
  let event = b.slots.(s.next mod capacity b) in
  leave b;
  if in_time then Some event else None

let rec poll s =
  Owner.check ();
  let b = s.broadcast and lag = lag s in
  if s.has_ended then Some Ended
  else if lag > s.max_lag then
    miss s (match s.policy with Drop_oldest -> lag - s.max_lag | End_slow -> lag)
  else if lag > 0 then
    match read s with
    | Some _ as event ->
        s.next <- s.next + 1;
        event
    | None -> poll s
  else if b.is_closed then Some Ended
  else None

let rec take s =
  let b = s.broadcast in
  match poll s with
  | Some event -> event
  | None ->
      let has_news () = s.has_ended || b.is_closed || b.published > s.next in
      Scheduler.wait_unless has_news b.changed;
      take s
