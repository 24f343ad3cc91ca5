type policy = Drop_oldest | End_slow
type 'a event = Message of 'a | Missed of int | Ended

(* [slots] is a ring: value [n] is at [n mod capacity]. *)
type 'a t = {
  slots : 'a event array;
  changed : Task.Condition.t;
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
    changed = Task.Condition.create ();
    published = 0;
    is_closed = false;
    subscribers = 0;
  }

let published b = b.published
let subscribers b = b.subscribers
let capacity b = Array.length b.slots

let publish b v =
  Owner.check ();
  if b.is_closed then Error.fail Closed "publish" ~detail:"the broadcast is closed";
  b.slots.(b.published mod capacity b) <- Message v;
  b.published <- b.published + 1;
  Task.Condition.broadcast b.changed

let close b =
  Owner.check ();
  b.is_closed <- true;
  Task.Condition.broadcast b.changed

let unsubscribe s =
  if not s.has_ended then (
    s.has_ended <- true;
    s.broadcast.subscribers <- s.broadcast.subscribers - 1;
    Task.Condition.broadcast s.broadcast.changed)

let subscribe ?(policy = Drop_oldest) ?max_lag ?(replay = 0) scope b =
  Owner.check ();
  let max_lag = match max_lag with Some n -> n | None -> capacity b in
  if max_lag < 1 || max_lag > capacity b then
    invalid_arg "Soil.Broadcast.subscribe: max_lag isn't between 1 and the capacity";
  if replay < 0 then invalid_arg "Soil.Broadcast.subscribe: replay is negative";
  let next = max 0 (b.published - replay) in
  let s = { broadcast = b; policy; max_lag; next; has_ended = false } in
  Task.on_release scope (fun () -> unsubscribe s);
  b.subscribers <- b.subscribers + 1;
  s

let lag s = if s.has_ended then 0 else s.broadcast.published - s.next

let miss s n =
  s.next <- s.next + n;
  if s.policy = End_slow then unsubscribe s;
  Some (Missed n)

let poll s =
  Owner.check ();
  let b = s.broadcast and lag = lag s in
  if s.has_ended then Some Ended
  else if lag > s.max_lag then
    miss s (match s.policy with Drop_oldest -> lag - s.max_lag | End_slow -> lag)
  else if lag > 0 then (
    let event = b.slots.(s.next mod capacity b) in
    s.next <- s.next + 1;
    Some event)
  else if b.is_closed then Some Ended
  else None

let rec take s =
  match poll s with
  | Some event -> event
  | None ->
      Task.Condition.wait_no_mutex s.broadcast.changed;
      take s
