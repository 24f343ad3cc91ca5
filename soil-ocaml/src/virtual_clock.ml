(* The clock is a task of the scope of [run], which is always ready. It yields to others that are.
   When it is the only one, it polls the machine, and then sets the time to that of the first timer;
   the next poll wakes who waits for it. So the scheduler never waits, and needs to know nothing of
   this.

   Timers from before [run] stay in the scheduler's heap, where their owners remove them, but behind
   all others, at [max_int]. [outside] has their times. *)

let start_ns = 1_000_000_000_000
let default_now = 946_684_800_000_000_000 (* 2000-01-01 *)

type t = {
  mutable now : int;  (** Monotonic nanoseconds. *)
  mutable ahead : int;  (** By which the time of day is ahead of them. *)
  io_ns : int;
  mutable last_due : int;  (** When a timer was due at once. *)
  context : Scheduler.context;
  mutable outside : (Fiber.event Timers.timer * int) list;  (** The earliest first. *)
  mutable failure : (exn * Failure.backtrace) option;  (** Why the context was cancelled. *)
}

let current : t option ref = ref None
let timers = Scheduler.timers
let machine_ns = Soil_raw_machine.clock_machine_ns
let is_running c = match !current with Some running -> running == c | None -> false

(* The time of day neither overflows nor is 0, which stands for the machine's. *)
let show c =
  let wall = c.now + c.ahead in
  let wall = if wall < 0 && c.ahead > 0 then max_int else max 1 wall in
  ignore (Soil_raw_machine.clock_set_virtual c.now wall)

let show_machine () = ignore (Soil_raw_machine.clock_set_virtual 0 0)

(* The pauses between collections are by the clock that changes. *)
let forget_collections () = Shortage.not_before := min_int

(* Timers *)

let in_order () =
  let all = Array.sub timers.heap 0 timers.length in
  let compare (a : _ Timers.timer) (b : _ Timers.timer) =
    match Int.compare a.at b.at with 0 -> Int.compare a.order b.order | order -> order
  in
  Array.sort compare all;
  Array.to_list all

let is_set (timer : _ Timers.timer) = timer.place <> Timers.absent

let move (timer : _ Timers.timer) at =
  Timers.remove timers timer;
  timer.at <- at;
  Timers.add timers timer

let put_aside () =
  let put (timer : _ Timers.timer) =
    let at = timer.at in
    move timer max_int;
    (timer, at)
  in
  Stdlib.List.map put (in_order ())

let put_back c =
  let now = machine_ns () in
  let shift (timer : _ Timers.timer) =
    if timer.at < max_int then move timer (timer.at - c.now + now)
  in
  Stdlib.List.iter shift (in_order ());
  Stdlib.List.iter (fun (timer, at) -> if is_set timer then move timer at) c.outside

let rec set_off_outside c =
  match c.outside with
  | (timer, _) :: rest when not (is_set timer) ->
      c.outside <- rest;
      set_off_outside c
  | (timer, at) :: rest when at < max_int && at <= machine_ns () ->
      c.outside <- rest;
      (* Due. *)
      move timer 1;
      set_off_outside c
  | _ -> ()

let next_outside c = match c.outside with (_, at) :: _ -> at | [] -> max_int

(* Whether a task from before may still wake one of [run]. *)
let is_awaited ((timer : Fiber.event Timers.timer), at) =
  match timer.value with Wake _ -> at < max_int && is_set timer | Cancel _ | Give_up -> false

(* The end of virtual time *)

let finish c =
  if is_running c then (
    current := None;
    show_machine ();
    forget_collections ();
    put_back c)

let abandon () = Option.iter finish !current

(* After a second exception of a signal's handler, nothing of a run is resumed. *)
let watch_runs =
  lazy
    (let before = !Scheduler.starting in
     (Scheduler.starting :=
        fun () ->
          abandon ();
          before ());
     at_exit abandon)

let fail c e backtrace =
  if c.failure = None then c.failure <- Some (e, backtrace);
  Scheduler.cancel c.context

let deadlock () =
  Error.fail Deadlock "run" ~subject:"virtual clock"
    ~detail:"each task waits for another, none for a time or for the machine"

(* The clock *)

let is_alone () =
  let ready, _, _ = Scheduler.activity (Scheduler.domain ()) in
  ready = 0

let poll () = Scheduler.poll (Scheduler.get ()) 0
let await_machine at = Scheduler.poll (Scheduler.get ()) (if at = max_int then -1 else at)

let set c at =
  c.now <- at;
  show c

let advance_to c at =
  set c at;
  poll ()

let next_timer () = if Timers.is_empty timers then max_int else Timers.earliest timers

(* Two waits in a row that end at once take a nanosecond: a task that waits until a time, and wakes
   too early because numbers are rounded, would never reach it. *)
let pass_moment c =
  if next_timer () <= c.now then (
    if c.last_due = c.now then set c (c.now + 1);
    c.last_due <- c.now)

(* [false] if nothing can happen any more. *)
let step c =
  pass_moment c;
  poll ();
  let next = next_timer () in
  if not (is_alone ()) then true
  else if Soil_raw_machine.operations_outside () > 0 then (
    let limit = if next = max_int then max_int else machine_ns () + c.io_ns in
    await_machine (min limit (next_outside c));
    if is_alone () && machine_ns () >= limit then advance_to c next;
    true)
  else if next < max_int then (
    advance_to c next;
    true)
  else if Stdlib.List.exists is_awaited c.outside || (c.failure <> None && next_outside c < max_int)
  then (
    await_machine (next_outside c);
    true)
  else if c.failure = None then (
    (try deadlock () with e -> fail c e (Failure.get_backtrace ()));
    true)
  else false

(* An exception is that of a signal's handler: the tasks unwind in real time. Or the scope has
   ended. *)
let move_on c =
  set_off_outside c;
  if is_alone () then step c
  else (
    Scheduler.yield ();
    true)

let rec tick c =
  match Failure.undoing (fun () -> finish c) (fun () -> move_on c) with
  | true -> tick c
  | false -> finish c

let ns what least most seconds =
  if seconds >= least && seconds <= most then int_of_float (seconds *. 1e9)
  else invalid_arg ("Soil.Virtual_clock." ^ what)

let in_new_time now io_ns f =
  Lazy.force watch_runs;
  (* The alarms of this task enter the heap. *)
  Scheduler.yield ();
  let context = Scheduler.enter () in
  let c =
    {
      now = start_ns;
      ahead = now - start_ns;
      io_ns;
      last_due = 0;
      context;
      outside = [];
      failure = None;
    }
  in
  c.outside <- put_aside ();
  current := Some c;
  show c;
  forget_collections ();
  let body scope =
    ignore (Task.spawn_daemon ~protected:true scope (fun () -> tick c));
    f ()
  in
  let over () =
    finish c;
    Scheduler.leave context
  in
  let raise_failure () =
    match c.failure with
    | Some (e, backtrace) when not (Scheduler.is_cancelled (Scheduler.current_context ())) ->
        Soil_backtrace.reraise e backtrace
    | _ -> ()
  in
  let v =
    Failure.undoing raise_failure (fun () -> Failure.finally over (fun () -> Task.scope body))
  in
  raise_failure ();
  v

let set_time_of_day c ahead =
  c.ahead <- ahead;
  show c

let run ?now ?(io_seconds = 0.01) f =
  Owner.check_first ();
  let now = Option.map (ns "run: now isn't between 0 and 4e9" 0. 4e9) now in
  let io_ns = ns "run: io_seconds isn't between 0 and 1e6" 0. 1e6 io_seconds in
  Scheduler.run @@ fun () ->
  match (!current, now) with
  | None, _ -> in_new_time (Option.value now ~default:default_now) io_ns f
  | Some _, None -> f ()
  | Some c, Some now ->
      let before = c.ahead in
      set_time_of_day c (now - c.now);
      Failure.finally (fun () -> set_time_of_day c before) f

let advance seconds =
  match !current with
  | Some c when Scheduler.in_task () ->
      set c (c.now + ns "advance: not a time of up to 1e9 s" 0. 1e9 seconds)
  | Some _ | None -> invalid_arg "Soil.Virtual_clock.advance: outside run"
