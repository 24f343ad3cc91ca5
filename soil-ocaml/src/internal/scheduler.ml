(* One fiber runs at a time, until it parks. [run] resumes the ready ones in rounds, in the order in
   which they became ready, and waits for the machine when there are none.

   State. All of it is in one record for each domain, which each function that is called from outside
   fetches by [get] and passes on. A fiber stays in the domain that it was started in, so that what
   was fetched before a wait is right after it.

   Domains. A scheduler's state is changed by its own domain only. Others [post] functions to it,
   which it calls between turns. The domain that wakes a fiber in a queue takes it out within the
   queue's guard, and then posts the wake to the fiber's domain. A cancellation in the fiber's domain
   takes it out in the same way; where it finds that another domain has, the wake will come. Handlers of signals must not raise in a program with
   several domains: the posted wake would be lost.

   Waiting. [park] says in [fiber.wait] what holds the fiber, and suspends it. It enters the ring
   only by [wake], and only from [wait = Turn] or from what held it (fiber.ml). A fiber that parks
   isn't in the ring while it is being suspended: that takes memory, so that the handler of a signal
   may raise an exception out of it. [run_fiber] puts it there afterwards.

   Cancellation. It ends a wait that [take_back] can take back; the value of the parked call is then
   [interrupted]. The wait for an operation whose buffer a device has goes on until the completion
   comes, and gets the operation's result. [park] does the same for a context that was cancelled
   before.

   Signals. The handler of a signal runs where memory is taken and in loops, and may raise an
   exception there. Each change of the state is one step without these, or begins by what may raise
   ([wake]), or can be done again ([cancel], [deliver_completions]).

   Fairness. A fiber yields after [allowance] calls that needn't wait. Completions are collected
   after [turns_between_polls] turns or [ns_between_polls], however many fibers are ready.

   Deadlock. If no fiber is ready, no operation is in progress and no timer is set, nothing can wake
   the fibers: all are cancelled, and the run fails. *)

exception Cancelled = Failure.Cancelled

let cancelled () = Soil_backtrace.raise Cancelled

type fiber = Fiber.t
type context = Fiber.context
type local = Fiber.local = ..

let no_fiber = Fiber.none

external create_array :
  ('a, 'b) Bigarray.kind -> 'c Bigarray.layout -> int array -> ('a, 'b, 'c) Bigarray.Array1.t
  = "caml_ba_create"

let create_ints n : Soil_raw.int_buffer = create_array Bigarray.Int Bigarray.C_layout [| n |]

type stop = Running | Stop_requested | Deadlocked of int | Exit of int

type state = {
  domain : int;  (** Its index. *)
  posts : Posts.t;  (** Of other domains. *)
  mutable current : fiber;  (** {!no_fiber} outside of fibers. *)
  ready : fiber Ring.t;
  tokens : Tokens.t;
  timers : Fiber.event Timers.t;
  completions : Soil_raw.int_buffer;  (** Pairs of token and result. *)
  mutable first : int;  (** Of the completions that haven't been handled yet. *)
  mutable last : int;  (** After the last one. *)
  mutable last_poll : int;  (** The time; [max_int] during it. *)
  mutable turns : int;  (** Since the last poll. *)
  mutable spent : int;  (** Calls of this turn that needn't wait. *)
  mutable this_run : int;  (** The number of the current run, or of the next one. *)
  mutable root : context;  (** Of the current run. *)
  mutable stop : stop;
  mutable fibers : int;  (** Of the current run; they haven't ended. *)
  mutable started : int;  (** Fibers so far. *)
  mutable turns_taken : int;  (** So far. *)
  mutable simulated : bool;  (** The seed of a simulation says which ready fiber runs. *)
}

let batch = 256

let create domain =
  {
    domain;
    posts = Posts.create domain;
    current = no_fiber;
    ready = Ring.create no_fiber;
    tokens = Tokens.create domain;
    timers = Timers.create ();
    completions = create_ints (2 * batch);
    first = 0;
    last = 0;
    last_poll = 0;
    turns = 0;
    spent = 0;
    this_run = Fiber.no_run + 1;
    root = Fiber.nil;
    stop = Running;
    fibers = 0;
    started = 0;
    turns_taken = 0;
    simulated = false;
  }

let first_state = create 0

(* By domain; the first one's where there is none. *)
let states = Slots.make Owner.domains first_state
let[@inline never] current_state () = states.(Owner.domain ())
let[@inline] get () = if !Guard.several then current_state () else first_state
let timers = first_state.timers

(* Most handlers compute for less, also where the machine keeps a processor from running. *)
let engaged_ns = 100_000_000
let is_engaged domain ~now = now - states.(domain).last_poll > engaged_ns
let post domain f = Posts.send states.(domain).posts f

(* Result of a parked call that was cancelled; no operation has it. *)
let interrupted = min_int

(* Not inlined: each call of C takes room. *)
let[@inline never] trace kind number name = ignore (Soil_raw.trace kind number name)

let[@inline never] reason (wait : Fiber.wait) =
  match wait with
  | Sleep -> "sleep"
  | Turn | Nothing -> "turn"
  | Completion -> ""
  | Queue | Protected_queue -> "other task"

let is_over_in s (fiber : fiber) = fiber.run <> s.this_run && fiber.run <> Fiber.no_run
let is_over (fiber : fiber) = is_over_in states.(fiber.home) fiber
let is_left (context : context) = is_over context.owner

let in_task () =
  Owner.check ();
  (get ()).current != no_fiber

let self () =
  Owner.check ();
  (get ()).current

let current_context () = (get ()).current.context
let locals () = (get ()).current.locals
let set_locals locals = (get ()).current.locals <- locals
let is_cancelled (context : context) = context.cancelled
let domain () = if !Guard.several then Owner.domain () else 0

(* All of it or, if a signal's handler raises, nothing. *)
let wake s (fiber : fiber) value =
  if fiber.context != Fiber.nil then Ring.push s.ready fiber;
  fiber.wait <- Fiber.Nothing;
  fiber.value <- value

(* [entry] was taken out of its queue for this. *)
let resume s entry (fiber : fiber) =
  if fiber.home = s.domain then wake s fiber 0
  else
    let home = states.(fiber.home) in
    (* A handler of a signal may have ended the wait. *)
    let resume () = if fiber.entry == entry && not (is_over_in home fiber) then wake home fiber 0 in
    ignore (post fiber.home resume)

(* Cancellation *)

let cancel_alarm s (fiber : fiber) =
  if fiber.timer != Fiber.no_timer then (
    Timers.remove s.timers fiber.timer;
    fiber.timer <- Fiber.no_timer)

(* [false]: another domain has taken it out, and wakes its fiber. *)
let take_out entry =
  let guard = Waiters.guard entry in
  Guard.enter guard;
  let linked = Waiters.is_linked entry in
  if linked then Waiters.remove entry;
  Guard.leave guard;
  linked

(* Whether the fiber's wait has been cancelled; the cancellation can be tried again. *)
let take_back s (fiber : fiber) =
  match fiber.wait with
  | Completion ->
      (* Anything but 1: the completion will come, and with it the buffer that the device may still
         use. *)
      Soil_raw.cancel fiber.token = 1
      &&
      (Tokens.free s.tokens (Tokens.slot s.tokens fiber.token);
       true)
  | Queue -> take_out fiber.entry
  | Sleep ->
      cancel_alarm s fiber;
      true
  | Turn -> true
  | Nothing | Protected_queue -> false

let interrupt fiber =
  let s = get () in
  if (not (is_over_in s fiber)) && take_back s fiber then (
    fiber.wait <- Fiber.Turn;
    wake s fiber interrupted)

let cancel context = Cancel.cancel ~interrupt context
let enter () = Cancel.enter ~shielded:false (get ()).current
let leave = Cancel.leave
let remove = Cancel.remove
let within parent f = Cancel.within parent (get ()).current f

let protect f =
  if Owner.is_other () then (Blocking.get ()).protect f
  else
    let fiber = (get ()).current in
    if fiber == no_fiber then f ()
    else
      let context = Cancel.enter ~shielded:true fiber in
      Failure.finally (fun () -> leave context) f

(* The machine *)

let stopped_status = 143 (* 128 + SIGTERM: what a shell shows of a Linux program that was stopped *)
let grace_ns = 10_000_000_000

let stop_requested s times =
  if s.root == Fiber.nil || times > 1 then Stdlib.exit stopped_status;
  (match s.stop with
  | Running -> s.stop <- Stop_requested
  | Stop_requested | Deadlocked _ | Exit _ -> ());
  Timers.add s.timers (Timers.timer ~at:(Soil_raw.clock_monotonic_ns () + grace_ns) Fiber.Give_up);
  cancel s.root

let complete s token result =
  if token = 0 then stop_requested s result
  else
    let slot = Tokens.slot s.tokens token in
    let fiber = slot.fiber in
    if result < 0 then fiber.detail <- Failure.detail_of token;
    wake s fiber result;
    Tokens.free s.tokens slot

let rec go_off s now =
  match Timers.take_due s.timers ~now with
  | None -> ()
  | Some event ->
      (match event with
      | Wake fiber ->
          fiber.timer <- Fiber.no_timer;
          wake s fiber 0
      | Cancel alarm ->
          alarm.rang <- true;
          cancel alarm.target
      | Give_up -> Stdlib.exit stopped_status);
      go_off s now

(* A signal's handler may raise between two completions; the next call handles the rest. *)
let deliver_completions s =
  while s.first < s.last do
    let i = s.first in
    let token = s.completions.{2 * i} and result = s.completions.{(2 * i) + 1} in
    (* A request to stop may end the program, whose [at_exit] functions may wait: handle it once. *)
    if token = 0 then s.first <- i + 1;
    complete s token result;
    s.first <- i + 1
  done

(* [deadline]: monotonic nanoseconds, 0 to poll, -1 for none. *)
let poll s deadline =
  if s.first = s.last then (
    trace Soil_raw.trace_sleeps 0 "";
    s.last_poll <- max_int;
    let several = !Guard.several in
    let deadline = if several then Posts.sleep_until s.posts deadline else deadline in
    let n = Soil_raw.wait deadline s.completions batch in
    if several then Posts.awake s.posts;
    trace Soil_raw.trace_wakes 0 "";
    if n < 0 then Failure.fail ~operation:"wait" ~subject:"" n;
    s.first <- 0;
    s.last <- n);
  deliver_completions s;
  s.last_poll <- Soil_raw.clock_monotonic_ns ();
  if not (Timers.is_empty s.timers) then go_off s s.last_poll;
  Posts.run s.posts

let next_deadline s =
  if Timers.is_empty s.timers then -1
  else
    let at = Timers.earliest s.timers in
    if at = max_int then -1 else if at < 1 then 1 else at

(* Other domains with a scheduler, or about to have one: they may wake any fiber. *)
let others = Atomic.make 0

(* Whether something but a fiber can still wake one. *)
let can_wake s =
  s.tokens.in_progress > 0 || (not (Timers.is_empty s.timers)) || Atomic.get others > 0

(* Ends the program's wait after a signal's handler has raised an exception out of it. *)
let give_up s (fiber : fiber) =
  let wait = fiber.wait in
  fiber.wait <- Fiber.Nothing;
  match wait with
  | Completion ->
      let slot = Tokens.slot s.tokens fiber.token in
      if Soil_raw.cancel fiber.token = 1 then Tokens.free s.tokens slot else Tokens.abandon slot
  | Sleep -> cancel_alarm s fiber
  | Queue | Protected_queue ->
      ignore (take_out fiber.entry);
      fiber.entry <- Fiber.no_entry
  | Turn | Nothing -> ()

let rec block s (fiber : fiber) =
  if fiber.wait <> Fiber.Nothing then (
    if not (can_wake s) then
      Error.fail Deadlock "wait" ~detail:"nothing that could end this wait can happen any more";
    poll s (next_deadline s);
    block s fiber)

let have_turn (fiber : fiber) value =
  fiber.wait <- Fiber.Turn;
  fiber.value <- value

(* An alarm that is stopped before its fiber waits is never in the heap: no other fiber could have
   run, and nothing could have set it off. *)
let rec set_alarms s (fiber : fiber) =
  match fiber.unset with
  | [] -> ()
  | timer :: rest ->
      Timers.add s.timers timer;
      fiber.unset <- rest;
      set_alarms s fiber

(* Parks until [wake]. Outside of [run] no other fiber can run, so the program blocks. *)
let park s wait =
  let fiber = s.current in
  (* First: without memory for an alarm, what holds the fiber has to give it up. *)
  fiber.wait <- wait;
  match
    set_alarms s fiber;
    if fiber == no_fiber then (
      block s fiber;
      fiber.value)
    else (
      if fiber.context.cancelled && take_back s fiber then have_turn fiber interrupted;
      Effects.park ())
  with
  | value -> value
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      give_up s fiber;
      Soil_backtrace.reraise e backtrace

let wait_completion s (slot : Tokens.slot) =
  let fiber = s.current in
  slot.fiber <- fiber;
  fiber.token <- slot.token;
  let value = park s Completion in
  if value = interrupted then cancelled () else value

let check_in s = if s.current.context.cancelled then cancelled ()

let check () =
  Owner.check ();
  check_in (get ())

(* How many calls that needn't wait a fiber can make in a row. *)
let allowance = 64

let yield_in s =
  s.spent <- 0;
  let fiber = s.current in
  if fiber == no_fiber then poll s 0
  else (
    check_in s;
    fiber.value <- 0;
    ignore (park s Turn);
    check_in s)

let yield () =
  Owner.check ();
  yield_in (get ())

let spend_in s =
  s.spent <- s.spent + 1;
  if s.spent >= allowance then yield_in s

let spend () = if not (Owner.is_other ()) then spend_in (get ())

let[@inline never] trace_at_once operation =
  if not (Owner.is_other ()) then trace Soil_raw.trace_done (get ()).current.number operation

(* Each read and write comes here. *)
let at_once operation result =
  if Soil_raw.tracing () <> 0 then trace_at_once operation;
  result

let operation_in_task ~operation ~subject submit =
  let s = get () in
  (* Yield before the operation: one that is answered at once never waits, and a cancellation here
     loses nothing. *)
  spend_in s;
  let slot = Tokens.take s.tokens in
  slot.submission <- submit;
  let result =
    match submit slot.token with
    | result -> result
    | exception e ->
        (* A signal's handler has raised in [submit]: before the call of the machine, which then
           doesn't know the token, or after it. *)
        let backtrace = Failure.get_backtrace () in
        if Soil_raw.cancel slot.token = Soil_raw.pending then Tokens.abandon slot
        else Tokens.free s.tokens slot;
        Soil_backtrace.reraise e backtrace
  in
  if result = Soil_raw.pending then (
    trace Soil_raw.trace_operation s.current.number operation;
    let result = wait_completion s slot in
    if result >= 0 then result
    else
      let fiber = s.current in
      let detail = fiber.detail in
      fiber.detail <- "";
      if Failure.code result = Cancelled && fiber.context.cancelled then cancelled ();
      Failure.fail_with ~operation ~subject ~detail result)
  else (
    Tokens.free s.tokens slot;
    trace Soil_raw.trace_done s.current.number operation;
    Failure.check ~operation ~subject result)

let operation ~operation ~subject submit =
  if Owner.is_other () then (Blocking.get ()).operation ~operation ~subject submit
  else operation_in_task ~operation ~subject submit

let wait_ready_in_task handle direction =
  let s = get () in
  let slot = Tokens.take s.tokens in
  let result = Soil_raw.fd_park handle direction slot.token in
  if result = Soil_raw.pending then (
    trace Soil_raw.trace_operation s.current.number (if direction = 0 then "read" else "write");
    (* If it failed, the next try returns the reason. *)
    ignore (wait_completion s slot);
    0)
  else (
    Tokens.free s.tokens slot;
    result)

let wait_ready handle direction =
  if Owner.is_other () then (Blocking.get ()).wait_ready handle direction
  else wait_ready_in_task handle direction

let never () = false

(* Calls [ready] within the guard of [queue], and [queued] after it, when the fiber is in [queue]. *)
let wait_with s wait queue ~ready ~queued =
  let fiber = s.current in
  let entry = Waiters.entry queue fiber and guard = Waiters.guard queue in
  Guard.enter guard;
  if ready () then (
    Guard.leave guard;
    0)
  else (
    Waiters.link queue entry;
    Guard.leave guard;
    fiber.entry <- entry;
    queued ();
    let value = park s wait in
    fiber.entry <- Fiber.no_entry;
    value)

let wait_unless ?(queued = ignore) ready queue =
  Owner.check ();
  let s = get () in
  check_in s;
  if wait_with s Queue queue ~ready ~queued = interrupted then cancelled ()

let wait_in queue = wait_unless never queue

let wait_unless_protected ready queue =
  Owner.check ();
  ignore (wait_with (get ()) Protected_queue queue ~ready ~queued:ignore)

let wait_in_protected queue = wait_unless_protected never queue

let rec take_first queue =
  let entry = Waiters.take_entry queue in
  match Waiters.value entry with Some fiber when is_over fiber -> take_first queue | _ -> entry

let wake_taken entry =
  match Waiters.value entry with None -> () | Some fiber -> resume (get ()) entry fiber

let wake_first queue =
  Owner.check ();
  let guard = Waiters.guard queue in
  Guard.enter guard;
  let entry = take_first queue in
  Guard.leave guard;
  wake_taken entry;
  Waiters.value entry

let deadline_after seconds =
  (* Not the module Float: it would link much of the C library's mathematics. *)
  if seconds <> seconds then invalid_arg "Soil: a time that isn't a number";
  let ns = seconds *. 1e9 in
  (* About 146 years, effectively for ever, without overflow. *)
  if ns >= 4.6e18 then max_int
  else
    let at = Soil_raw.clock_monotonic_ns () + if ns > 0. then int_of_float ns else 0 in
    if at < 1 then 1 else at

let sleep_in_task at =
  let s = get () in
  let fiber = s.current in
  let timer = Timers.timer ~at (Fiber.Wake fiber) in
  (* First, so that no timer goes off for a fiber that doesn't know of it. *)
  fiber.timer <- timer;
  Timers.add s.timers timer;
  if park s Sleep = interrupted then cancelled ()

let sleep_until at =
  if Owner.is_other () then (Blocking.get ()).sleep_until at else sleep_in_task at

let cancel_at target at =
  let alarm : Fiber.alarm = { target; rang = false } in
  let timer = Timers.timer ~at (Fiber.Cancel alarm) in
  let fiber = (get ()).current in
  let stop () =
    (match fiber.unset with
    | first :: rest when first == timer -> fiber.unset <- rest
    | _ -> Timers.remove (get ()).timers timer);
    not alarm.rang
  in
  fiber.unset <- timer :: fiber.unset;
  stop

(* Running *)

(* Where there is no memory for its stack, the fiber stays as it was, to be started later. *)
let start s (fiber : fiber) =
  let body = fiber.body in
  let begin_ () =
    fiber.body <- Fiber.no_body;
    body ()
  in
  match Effects.start begin_ with
  | stopped -> stopped
  | exception Stdlib.Out_of_memory when fiber.body != Fiber.no_body ->
      s.current <- no_fiber;
      ignore (Shortage.collect ());
      Effects.finished

let run_fiber s (fiber : fiber) =
  s.current <- fiber;
  s.turns_taken <- s.turns_taken + 1;
  trace Soil_raw.trace_runs fiber.number "";
  s.spent <- 0;
  let stopped =
    let stopped = fiber.stopped in
    if stopped == Effects.finished then start s fiber
    else (
      fiber.stopped <- Effects.finished;
      Effects.continue stopped fiber.value)
  in
  (* Nothing from here on takes memory: no handler of a signal comes between. *)
  s.current <- no_fiber;
  if stopped != Effects.finished then (
    trace Soil_raw.trace_waits fiber.number (reason fiber.wait);
    fiber.stopped <- stopped;
    if fiber.wait = Fiber.Turn then wake s fiber fiber.value)
  else if fiber.body == Fiber.no_body then (
    trace Soil_raw.trace_ended fiber.number "";
    s.fibers <- s.fibers - 1)
  else wake s fiber 0

let new_fiber s body context =
  (* A fiber is in the ring once, so that waking one takes no memory: what woke it can't do it
     again. *)
  Ring.reserve s.ready (s.fibers + 1);
  s.started <- s.started + 1;
  let fiber : fiber =
    {
      body;
      stopped = Effects.finished;
      value = 0;
      wait = Nothing;
      token = 0;
      entry = Fiber.no_entry;
      timer = Fiber.no_timer;
      unset = [];
      detail = "";
      context;
      run = s.this_run;
      home = s.domain;
      number = s.started;
      locals = s.current.locals;
    }
  in
  s.fibers <- s.fibers + 1;
  Ring.push s.ready fiber;
  fiber

let spawn_in s ~shielded parent body =
  let context = Cancel.insert ~shielded parent no_fiber in
  context.owner <- new_fiber s body context;
  context

let spawn ~shielded parent body = spawn_in (get ()) ~shielded parent body

(* After this number of fibers' turns, or this time, completions are collected although fibers are
   ready. *)
let turns_between_polls = 64
let ns_between_polls = 200_000

let deadlock count =
  let detail =
    match count with
    | 1 -> "the only task waits for something that can't happen any more"
    | n -> "all " ^ string_of_int n ^ " tasks wait for each other"
  in
  Error.fail Deadlock "run" ~detail

(* Runs fibers until [finished ()]; [false] if none can run before. *)
let rec run_all s finished =
  Posts.run s.posts;
  if finished () then true
  else if Ring.length s.ready = 0 then
    if can_wake s then (
      s.turns <- 0;
      poll s (next_deadline s);
      run_all s finished)
    else if s.root.cancelled then false
    else (
      (* All tasks are unwound first; a fiber that still waits after that is deadlocked. *)
      s.stop <- Deadlocked s.fibers;
      cancel s.root;
      run_all s finished)
  else
    let round = Ring.length s.ready in
    for _ = 1 to round do
      if s.simulated then Ring.put_first s.ready (Soil_raw.choose (Ring.length s.ready));
      run_fiber s (Ring.pop s.ready)
    done;
    s.turns <- s.turns + round;
    if
      Ring.length s.ready > 0
      && (s.turns >= turns_between_polls
         || Soil_raw.clock_monotonic_ns () - s.last_poll >= ns_between_polls)
    then (
      s.turns <- 0;
      poll s 0);
    run_all s finished

(* Abandons the fibers that haven't ended. Their operations keep their buffers. *)
let forget_all s =
  s.fibers <- 0;
  s.this_run <- s.this_run + 1;
  while Ring.length s.ready > 0 do
    ignore (Ring.pop s.ready)
  done;
  Tokens.abandon_all s.tokens;
  while not (Timers.is_empty s.timers) do
    ignore (Timers.take_due s.timers ~now:max_int)
  done

type 'a outcome = Pending | Returned of 'a | Raised of exn * Failure.backtrace

(* The exception of a signal's handler that ran in the scheduler itself. *)
type raised = Nothing | Exception of exn * Failure.backtrace

(* Such an exception cancels all tasks, and a second one leaves them where they are. *)
let rec run_until s finished raised =
  match run_all s finished with
  | true -> raised
  | false ->
      let count = s.fibers in
      forget_all s;
      if raised = Nothing then deadlock count else raised
  (* Of the scheduler itself, not of a fiber; what it did is whole or can be done again. *)
  | exception (Stdlib.Out_of_memory | Stdlib.Stack_overflow) ->
      s.current <- no_fiber;
      ignore (Shortage.collect ());
      run_until s finished raised
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      s.current <- no_fiber;
      if raised = Nothing then (
        cancel s.root;
        run_until s finished (Exception (e, backtrace)))
      else (
        forget_all s;
        Soil_backtrace.reraise e backtrace)

(* Set once for the program ([Needs]). *)
let starting = ref ignore
let first_in_task = ref ignore

let run_in s main =
  let outcome = ref Pending in
  let body () =
    outcome :=
      match main () with v -> Returned v | exception e -> Raised (e, Failure.get_backtrace ())
  in
  s.stop <- Running;
  s.simulated <- Soil_raw.choose 0 = 1;
  s.root <- spawn_in s ~shielded:false Fiber.nil body;
  let ended () = match !outcome with Pending -> false | Returned _ | Raised _ -> true in
  match run_until s ended Nothing with
  | Nothing ->
      s.root <- Fiber.nil;
      !outcome
  | Exception (e, backtrace) ->
      s.root <- Fiber.nil;
      Soil_backtrace.reraise e backtrace
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      s.root <- Fiber.nil;
      Soil_backtrace.reraise e backtrace

let result = function
  | Returned v -> v
  | Raised (e, backtrace) -> Soil_backtrace.reraise e backtrace
  | Pending -> assert false

let run main =
  if in_task () then main ()
  else (
    Owner.check_first ();
    !starting ();
    Failure.record_backtraces ();
    let s = get () in
    let main () =
      !first_in_task ();
      main ()
    in
    let outcome = run_in s main in
    match (s.stop, outcome) with
    | Exit status, _ -> Stdlib.exit status
    | Stop_requested, Raised (Cancelled, _) -> Stdlib.exit stopped_status
    | Deadlocked count, Raised (Cancelled, _) -> deadlock count
    | _ -> result outcome)

(* The state is that of the last domain with this index: the fibers of its runs are over. *)
let run_domain main =
  Failure.record_backtraces ();
  Owner.join ();
  let domain = Owner.domain () in
  let s = if states.(domain) == first_state then create domain else states.(domain) in
  states.(domain) <- s;
  Posts.open_ s.posts;
  let over () =
    Posts.close s.posts;
    Owner.leave ()
  in
  Failure.finally over (fun () -> result (run_in s main))

let exit_in s status =
  s.stop <- Exit status;
  cancel s.root

let exit status =
  if status < 0 || status > 255 then invalid_arg "Soil.exit: status not between 0 and 255";
  if not (in_task ()) then Stdlib.exit status
  else
    let s = get () in
    exit_in s status;
    if s != first_state then ignore (post 0 (fun () -> exit_in first_state status));
    cancelled ()

let is_exiting () = match (get ()).stop with Exit _ -> true | _ -> false
let has_run domain = domain = 0 || states.(domain) != first_state

let counts domain =
  let s = states.(domain) in
  (s.tokens.in_progress, s.fibers)

let activity domain =
  let s = states.(domain) in
  (Ring.length s.ready, s.started, s.turns_taken)

let () =
  if Soil_raw.abi_version () <> Soil_raw.abi then (
    Failure.print (fun () ->
        "soil: the OCaml library is for ABI " ^ string_of_int Soil_raw.abi
        ^ " and the Rust library has ABI "
        ^ string_of_int (Soil_raw.abi_version ())
        ^ ": install both from the same version of Soil\n");
    Stdlib.exit 2);
  ignore (Failure.check ~operation:"start" ~subject:"" (Soil_raw.start ()));
  at_exit (fun () -> ignore (Soil_raw.sync_all grace_ns))
