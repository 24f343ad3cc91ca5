(** What peers make the program hold, and which of them have to go: {!Budget}, and what {!Serving}
    needs of it. Private to Soil. *)

(* Order. [idle] has those whose peer hasn't begun a message; [busy] those of whose messages something
   has come, since when they wait for the peer; [quiet] those that wait for their connection, and of
   which the program has said neither. Each is in the order of [since], because who enters does so at
   its end. Those of whose peers nothing is expected are in none. [waits] is whether the task waits
   right now: what it does between two waits can't be interrupted.

   Domains. The bytes of all domains are one number, with one queue for room. The queues of peers
   are each domain's own, because their tasks are. A domain whose peers don't make enough room asks
   the next domain to evict some, too, at each try.

   Eviction. The context of [run] is cancelled, whose task then unwinds and gives its bytes back.
   Until then they are [leaving], so that nobody else has to go for the same room. *)

type state = Open | Evicted | Over

type t = {
  server : int;
  mutable bytes : int;
  mutable by_hold : int;  (** Of them, by {!hold}. *)
  mutable state : state;
  mutable waits : bool;
  mutable since : int;
  mutable entry : t Waiters.t;
  mutable context : Scheduler.context;
}

type statistics = {
  limit : int;
  held : int;
  peers : int;
  waiting : int;
  refused : int;
  evicted : int;
  collections : int;
}

let operation = Shortage.operation
let is_refusal = Shortage.is_refusal
let part = 6
let least = 256 * 1024
let limit_set = ref 0
let held = ref 0
let leaving = ref 0
let peers = ref 0
let waiting = ref 0
let refused = ref 0
let evicted = ref 0

type queues = { idle_ones : t Waiters.t; busy_ones : t Waiters.t; quiet_ones : t Waiters.t }

let new_queues () =
  { idle_ones = Waiters.create (); busy_ones = Waiters.create (); quiet_ones = Waiters.create () }

let first_queues = new_queues ()

(* By domain; the first one's until another has peers. *)
let all_queues = Slots.make Owner.domains first_queues

let queues () =
  match Scheduler.domain () with
  | 0 -> first_queues
  | domain ->
      if all_queues.(domain) == first_queues then all_queues.(domain) <- new_queues ();
      all_queues.(domain)

let guard = Guard.create ()

let change counter n =
  Guard.enter guard;
  counter := !counter + n;
  Guard.leave guard

let no_entry : t Waiters.t = Waiters.create ()
let room : Scheduler.fiber Waiters.t = Waiters.create ()

(* The machine *)

let record = Scheduler.create_ints Soil_raw.machine_memory_length
let read () = ignore (Soil_raw_machine.machine_memory record)

let limit () =
  if !limit_set = 0 then (
    read ();
    limit_set := max least (Soil_raw.machine_memory record Total / part));
  !limit_set

let set_limit n =
  if n < 1 then invalid_arg "Soil.Budget.set_limit: less than 1";
  limit_set := n

let statistics () =
  {
    limit = limit ();
    held = !held;
    peers = !peers;
    waiting = !waiting;
    refused = !refused;
    evicted = !evicted;
    collections = Shortage.collections ();
  }

let is_image = Soil_raw.on_vm () = 1

(* A reserve for what isn't counted: garbage since the last collection, stacks, blocks of TCP. In an
   image also what its kernel keeps for itself (kernel/src/memory/reserve.rs), for minor collections
   and for small requests: less isn't granted. A process that gets less than nothing is killed. *)
let floor_of total =
  if is_image then
    let kernel =
      min (total / 32) (8 lsl 20) + min (total / 16) (3 lsl 20) + min (total / 64) (1 lsl 20)
    in
    kernel + min (total / 12) (4 lsl 20)
  else min (total / 4) (32 lsl 20)

(* The machine is asked after each so many bytes only, while there is enough. A process has to read
   files for that (cgroups, /proc/meminfo): not so often, and what it has counted or allocated since
   is gone. *)
let check_each = 65536
let unchecked = ref check_each
let reading_ns = if is_image then 0 else 5_000_000
let next_reading = ref 0
let read_short = ref false (* The last reading was of too little. *)
let left = ref 0

external counters : unit -> float * float * float = "caml_gc_counters"

(* By domain: bytes that it had allocated in the major heap at its last check. A handler makes its
   answer before that is counted, and many do so between two readings. *)
let allocated = Slots.make Owner.domains 0

let allocated_since () =
  let _, _, words = counters () and domain = Scheduler.domain () in
  let now = int_of_float words * (Sys.word_size / 8) in
  let since = now - allocated.(domain) in
  allocated.(domain) <- now;
  since

let leaves bytes =
  unchecked := !unchecked + bytes;
  !unchecked < check_each
  ||
  let floor () = floor_of (Soil_raw.machine_memory record Total) in
  let is_enough () = !left - bytes >= floor () in
  if not is_image then left := !left - allocated_since ();
  let now = Soil_raw.clock_monotonic_ns () in
  if now >= !next_reading || not (!read_short || is_enough ()) then (
    read ();
    next_reading := now + reading_ns;
    left := Soil_raw.machine_memory record Free;
    read_short := not (is_enough ()));
  let enough = is_enough () in
  if enough then (
    left := !left - !unchecked;
    unchecked := 0);
  enough

let collect () =
  let has_collected = Shortage.collect () in
  if has_collected then next_reading := 0;
  has_collected

let bytes t = t.bytes

(* Phases *)

let leave_queue t =
  if t.entry != no_entry then (
    Waiters.remove t.entry;
    t.entry <- no_entry)

let enter queue t =
  t.since <- Soil_raw.clock_monotonic_ns ();
  t.entry <- Waiters.add queue t

let idle t =
  leave_queue t;
  enter (queues ()).idle_ones t

let finished = leave_queue

let awaiting t f =
  if t.waits || t.state <> Open then f ()
  else (
    if t.entry == no_entry then enter (queues ()).busy_ones t;
    let over () = t.waits <- false in
    t.waits <- true;
    Failure.finally over f)

(** [wait_quietly t handle direction] is {!Scheduler.wait_ready}[ handle direction], on the
    connection of [t]. If the program hasn't said whether [t] is idle or within a message, the peer
    may be closed meanwhile, after all that are. *)
let wait_quietly t handle direction =
  if t.waits || t.state <> Open || Owner.is_other () then Scheduler.wait_ready handle direction
  else
    let is_quiet = t.entry == no_entry in
    if is_quiet then enter (queues ()).quiet_ones t;
    t.waits <- true;
    let over () =
      t.waits <- false;
      if is_quiet then leave_queue t
    in
    Failure.finally over (fun () -> Scheduler.wait_ready handle direction)

(* Room *)

let patience_ns = 1_000_000_000

let evict t =
  change evicted 1;
  change leaving t.bytes;
  t.state <- Evicted;
  leave_queue t;
  Scheduler.cancel t.context

(* The oldest of those that have had their second, until [cost] of them makes [need]; what is still
   needed then. *)
let evict_oldest queues need cost =
  let left = ref need and now = Soil_raw.clock_monotonic_ns () in
  let consider t =
    !left > 0
    && now - t.since >= patience_ns
    &&
    (if t.waits && t.context != Fiber.nil then (
       left := !left - cost t;
       if cost t > 0 then evict t);
     true)
  in
  List.iter (Waiters.iter_while consider) queues;
  !left

let all () =
  let { idle_ones; busy_ones; quiet_ones } = queues () in
  [ idle_ones; busy_ones; quiet_ones ]

(* The domain after [domain] that has peers, but for the current one. *)
let rec next_domain current domain tries =
  let domain = (domain + 1) mod Owner.domains in
  if tries = 0 then None
  else if domain <> current && (domain = 0 || all_queues.(domain) != first_queues) then Some domain
  else next_domain current domain (tries - 1)

let last_asked = ref 0

let evict_elsewhere need =
  match next_domain (Scheduler.domain ()) !last_asked Owner.domains with
  | Some domain ->
      last_asked := domain;
      ignore (Scheduler.post domain (fun () -> ignore (evict_oldest (all ()) need bytes)))
  | None -> ()

let evict_for need =
  let left = evict_oldest (all ()) need bytes in
  if left > 0 && !Guard.several then evict_elsewhere left

(** [evict_for_connections n] closes the [n] slowest peers that have had their second. *)
let evict_for_connections n = ignore (evict_oldest (all ()) n (fun _ -> 1))

(** [evict_idle server] closes the peer of [server] that has been idle for the longest time, if that
    is a second. *)
let evict_idle server =
  let of_server t = if t.server = server then 1 else 0 in
  ignore (evict_oldest [ (queues ()).idle_ones ] 1 of_server)

(* The last eighth is for connections and small messages: those who hold the rest, and have a second
   for it, don't keep others out. *)
let large = 16384
let limit_for n = if n > large then limit () / 8 * 7 else limit ()

(* Of a message of [n] bytes, [more] of which aren't counted yet. *)
let exceeded n more = max 0 (!held + more - limit_for n)
let fits n more = exceeded n more = 0 && (leaves more || (collect () && leaves more))
let has_room n = fits n n

let add t n =
  t.bytes <- t.bytes + n;
  if t.state = Evicted then change leaving n;
  change held n

let log_warning = 2
let pause_between_warnings_ns = 10_000_000_000
let no_warning_before = ref min_int

let warn text =
  let now = Soil_raw.clock_monotonic_ns () in
  if now >= !no_warning_before then (
    no_warning_before := now + pause_between_warnings_ns;
    ignore (Soil_raw.log log_warning text 0 (String.length text)))

let refuse n =
  change refused 1;
  let number = string_of_int in
  let detail =
    "no room for " ^ number n ^ " bytes: peers hold " ^ number !held ^ " of "
    ^ number (limit ())
    ^ " (give the machine more memory, or accept fewer connections)"
  in
  warn (operation ^ ": " ^ detail);
  Error.fail Out_of_memory operation ~detail

(* Others wait, too: at least this part of the budget is freed at a time, of slow ones. *)
let eviction_part = 8
let pause = 0.25

(* [taken]: whether the [n] bytes are counted already. *)
let wait_for_room ?(taken = false) t n ~patience ~wanted =
  let more = if taken then 0 else n in
  let until = Scheduler.deadline_after patience in
  let wait () = ignore (Task.timeout_opt pause (fun () -> Scheduler.wait_in room)) in
  let rec go () =
    if fits n more then (
      add t more;
      (* There may be enough for the next one, too. *)
      ignore (Scheduler.wake_first room))
    else (
      evict_for (max (max n (exceeded n more)) (limit () / eviction_part) - !leaving);
      if n > limit_for n || Soil_raw.clock_monotonic_ns () >= until || not (wanted ()) then refuse n;
      if t.bytes > 0 then awaiting t wait else wait ();
      go ())
  in
  change waiting 1;
  Failure.finally (fun () -> change waiting (-1)) go

let default_patience = 2.
let always () = true

let grow ?(patience = default_patience) ?(wanted = always) t n =
  if n >= 0 && t.state <> Over then
    if has_room n then add t n else wait_for_room t n ~patience ~wanted

let shrink t n =
  let n = min n t.bytes in
  if n > 0 then (
    t.bytes <- t.bytes - n;
    change held (-n);
    if t.state = Evicted then change leaving (-n);
    if !waiting > 0 then ignore (Scheduler.wake_first room))

(* What is made already may only wait in memory while there is enough for the others' values. *)
let count t n =
  if n > 0 && t.state <> Over then (
    add t n;
    let wanted () = leaves n in
    if not (fits n 0) then
      Failure.undoing
        (fun () -> shrink t n)
        (fun () -> wait_for_room ~taken:true t n ~patience:default_patience ~wanted))

let note t n = if n > 0 && t.state <> Over then add t n

let grow_now t n =
  let has_room = t.state <> Over && has_room n in
  if has_room then add t n;
  has_room

let grow_if_spare t n =
  let is_spare = t.state <> Over && !held + n <= limit () / 2 && fits n n in
  if is_spare then add t n;
  is_spare

let shrink_to t n =
  t.by_hold <- 0;
  shrink t (t.bytes - n)

(* Tasks *)

let here : t Task_local.t = Task_local.create ()
let current () = if Owner.is_other () then None else Task_local.get here

let hold n =
  match current () with
  | Some t when n >= 0 ->
      grow t n;
      t.by_hold <- t.by_hold + n
  | Some _ | None -> ()

let hold_made n =
  match current () with
  | Some t when n > 0 ->
      count t n;
      t.by_hold <- t.by_hold + n
  | Some _ | None -> ()

let give_back n =
  match current () with
  | Some t ->
      let n = max 0 (min n t.by_hold) in
      t.by_hold <- t.by_hold - n;
      shrink t n
  | None -> ()

let scratch f =
  let held = ref 0 in
  let more n =
    if n > 0 then (
      hold n;
      held := !held + n)
  in
  Failure.finally (fun () -> if !held > 0 then give_back !held) (fun () -> f more)

let receive f =
  match current () with
  | None -> f ()
  | Some t ->
      let v = awaiting t f in
      finished t;
      v

let servers = Atomic.make 1

(** [server ()] is a new server's number. *)
let server () = Atomic.fetch_and_add servers 1

(** [create_for server] is a new peer of [server]. *)
let create_for server =
  change peers 1;
  {
    server;
    bytes = 0;
    by_hold = 0;
    state = Open;
    waits = false;
    since = 0;
    entry = no_entry;
    context = Fiber.nil;
  }

let create () = create_for 0

let release t =
  if t.state <> Over then (
    change peers (-1);
    leave_queue t;
    shrink t t.bytes;
    t.state <- Over)

let closed () =
  Error.fail Out_of_memory operation
    ~detail:"closed, because memory is needed and this peer was the slowest"

let run_in_task t f =
  let outer = t.context in
  let context = Scheduler.enter () in
  t.context <- context;
  let back () =
    t.context <- outer;
    Scheduler.leave context
  in
  match f () with
  | v ->
      back ();
      v
  | exception e -> (
      let backtrace = Failure.get_backtrace () in
      back ();
      match e with
      | Scheduler.Cancelled
        when t.state = Evicted && not (Scheduler.is_cancelled (Scheduler.current_context ())) ->
          closed ()
      | e -> Soil_backtrace.reraise e backtrace)

let run t f = Task_local.with_ here t (fun () -> run_in_task t f)
