exception Cancelled = Failure.Cancelled

let cancelled () = Soil_backtrace.raise Cancelled

type fiber = {
  mutable body : unit -> unit;  (** Before the start. *)
  mutable stopped : Effects.t;  (** Where it parked. *)
  mutable value : int;  (** Result of the parked call. *)
  mutable wait : int;  (** A token (> 0), or one of the constants below. *)
  mutable entry : fiber Waiters.t;  (** Its place in a queue, if it waits in one. *)
  mutable timer : event Timers.timer option;  (** Its alarm, if it sleeps. *)
  mutable unset : event Timers.timer list;  (** Those of {!cancel_at}, until it waits. *)
  mutable detail : string;  (** Of the failed operation that it waited for. *)
  mutable node : node;  (** The innermost. *)
  run : int;  (** The number of its {!run}. *)
  number : int;  (** Among all that were started. *)
  mutable locals : local list;  (** The youngest first. *)
}

and local = { key : int; put : unit -> unit }

and node = {
  mutable cancelled : bool;
  shielded : bool;
  parent : node;
  mutable owner : fiber;
  mutable child : node;  (** The youngest; [nil] if there is none. *)
  mutable older : node;  (** Sibling; [nil] if there is none. *)
  mutable younger : node;
}

and event = Wake of fiber | Cancel of alarm | Give_up
and alarm = { target : node; mutable rang : bool }

(* Reasons to wait, other than a token. *)
let nothing = 0
let in_queue = -1
let in_queue_protected = -2
let asleep = -3
let turn = -4 (* yields to the other fibers *)

(* Result of a parked call that was cancelled; no operation has it. *)
let interrupted = min_int

(* Not inlined: each call of C takes room. *)
let[@inline never] trace kind number name = ignore (Soil_raw_trace.trace kind number name)

let[@inline never] reason wait =
  if wait = asleep then "sleep"
  else if wait = turn || wait = nothing then "turn"
  else if wait > 0 then ""
  else "other task"

let no_body () = ()
let no_run = 0
let no_entry : fiber Waiters.t = Waiters.create ()

let rec nil =
  {
    cancelled = false;
    shielded = true;
    parent = nil;
    owner = no_fiber;
    child = nil;
    older = nil;
    younger = nil;
  }

(* The program outside of [run], which waits by blocking. *)
and no_fiber =
  {
    body = no_body;
    stopped = Effects.finished;
    value = 0;
    wait = 0;
    entry = no_entry;
    timer = None;
    unset = [];
    detail = "";
    node = nil;
    run = no_run;
    number = 0;
    locals = [];
  }

(* Owner of a token, or of a queue's entry, whose fiber was abandoned: its completion wakes no
   fiber. *)
let gone = { no_fiber with body = no_body }
let current = ref no_fiber

(* Number of the current run, or of the next one. A run that fails may leave fibers in queues of the
   program, where a later run finds them; they are never resumed. *)
let this_run = ref (no_run + 1)
let is_over fiber = fiber.run <> !this_run && fiber.run <> no_run

let in_task () =
  Owner.check ();
  !current != no_fiber

let self () =
  Owner.check ();
  !current

let current_node () = !current.node
let locals () = !current.locals
let set_locals locals = !current.locals <- locals
let is_cancelled node = node.cancelled
let is_left node = is_over node.owner

(* Fibers that can run. *)
let ready = Ring.create no_fiber

(* All of it or, if a signal's handler raises, nothing. *)
let wake fiber value =
  if fiber.node != nil then Ring.push ready fiber;
  fiber.wait <- nothing;
  fiber.value <- value

(* Tokens are indices into the table of fibers that wait for a completion; index 0 is the machine's
   own. A token is free again when its completion has been seen, or will never come, so that no two
   operations in progress share one. *)

let table = ref (Slots.make 64 no_fiber)

(* Submissions by token, which keep alive all that they refer to: a device may use a buffer until
   the completion was seen or the operation was cancelled, even if the fiber is gone. *)
let no_submission (token : int) = token
let pinned = ref (Slots.make 64 no_submission)
let next_free = ref (Slots.init 64 (fun i -> i + 1))
let first_free = ref 1
let operations = ref 0

let new_token () =
  let token = !first_free in
  let length = Array.length !table in
  if token = length then (
    let larger = Slots.make (2 * length) no_fiber in
    Slots.blit !table 0 larger 0 length;
    table := larger;
    let larger = Slots.make (2 * length) no_submission in
    Slots.blit !pinned 0 larger 0 length;
    pinned := larger;
    next_free := Slots.init (2 * length) (fun i -> if i < length then !next_free.(i) else i + 1));
  first_free := !next_free.(token);
  incr operations;
  token

let free_token token =
  !table.(token) <- no_fiber;
  !pinned.(token) <- no_submission;
  !next_free.(token) <- !first_free;
  first_free := token;
  decr operations

(* Cancellation *)

let timers : event Timers.t = Timers.create ()

let cancel_alarm fiber =
  match fiber.timer with
  | None -> ()
  | Some timer ->
      Timers.remove timers timer;
      fiber.timer <- None

(* Whether the fiber's wait has been cancelled; the cancellation can be tried again. *)
let take_back fiber =
  let wait = fiber.wait in
  if wait > 0 then
    (* Anything but 1: the completion will come, and with it the buffer that the device may still
       use. *)
    Soil_raw.cancel wait = 1
    &&
    (free_token wait;
     true)
  else if wait = in_queue then (
    Waiters.remove fiber.entry;
    true)
  else if wait = asleep then (
    cancel_alarm fiber;
    true)
  else wait = turn

let interrupt fiber =
  if (not (is_over fiber)) && take_back fiber then (
    fiber.wait <- turn;
    wake fiber interrupted)

(* Marked last: where a handler of a signal raises out of it, the next one, of this node or of one
   above, does it again. *)
let rec cancel node =
  if not node.cancelled then (
    if node.owner.node == node then interrupt node.owner;
    cancel_children node.child;
    node.cancelled <- true)

and cancel_children node =
  if node != nil then (
    if not node.shielded then cancel node;
    cancel_children node.older)

let insert ~shielded parent owner =
  let node =
    {
      cancelled = parent.cancelled && not shielded;
      shielded;
      parent;
      owner;
      child = nil;
      older = parent.child;
      younger = nil;
    }
  in
  if node.older != nil then node.older.younger <- node;
  if parent != nil then parent.child <- node;
  node

let remove node =
  if node.younger != nil then node.younger.older <- node.older
  else if node.parent.child == node then node.parent.child <- node.older;
  if node.older != nil then node.older.younger <- node.younger;
  node.older <- nil;
  node.younger <- nil

let enter ?(shielded = false) () =
  let fiber = !current in
  let node = insert ~shielded fiber.node fiber in
  fiber.node <- node;
  node

let leave node =
  remove node;
  node.owner.node <- node.parent

let within parent f =
  let fiber = !current in
  let before = fiber.node in
  let node = insert ~shielded:false parent fiber in
  fiber.node <- node;
  let back () =
    remove node;
    fiber.node <- before
  in
  let v = Failure.undoing back f in
  back ();
  v

let protect f =
  if Owner.is_other () then (Blocking.get ()).protect f
  else if !current == no_fiber then f ()
  else
    let node = enter ~shielded:true () in
    let v = Failure.undoing (fun () -> leave node) f in
    leave node;
    v

(* The machine *)

let batch = 256

external create_array :
  ('a, 'b) Bigarray.kind -> 'c Bigarray.layout -> int array -> ('a, 'b, 'c) Bigarray.Array1.t
  = "caml_ba_create"

let create_ints n : Soil_raw.int_buffer = create_array Bigarray.Int Bigarray.C_layout [| n |]
let completions = create_ints (2 * batch)

type stop = Running | Stop_requested | Deadlocked of int | Exit of int

let stop = ref Running
let root = ref nil
let stopped_status = 143 (* 128 + SIGTERM: what a shell shows of a Linux program that was stopped *)
let grace_ns = 10_000_000_000

let stop_requested times =
  if !root == nil || times > 1 then Stdlib.exit stopped_status;
  (match !stop with
  | Running -> stop := Stop_requested
  | Stop_requested | Deadlocked _ | Exit _ -> ());
  Timers.add timers (Timers.timer ~at:(Soil_raw.clock_monotonic_ns () + grace_ns) Give_up);
  cancel !root

let complete token result =
  if token = 0 then stop_requested result
  else
    let fiber = !table.(token) in
    if result < 0 then fiber.detail <- Failure.detail_of token;
    wake fiber result;
    free_token token

let rec go_off now =
  match Timers.take_due timers ~now with
  | None -> ()
  | Some event ->
      (match event with
      | Wake fiber ->
          fiber.timer <- None;
          wake fiber 0
      | Cancel alarm ->
          alarm.rang <- true;
          cancel alarm.target
      | Give_up -> Stdlib.exit stopped_status);
      go_off now

let last_poll = ref 0

(* The part of [completions] that hasn't been handled yet. *)
let first = ref 0
let last = ref 0

(* A signal's handler may raise between two completions; the next call handles the rest. *)
let see_to_completions () =
  while !first < !last do
    let i = !first in
    let token = completions.{2 * i} and result = completions.{(2 * i) + 1} in
    (* A request to stop may end the program, whose [at_exit] functions may wait: handle it once. *)
    if token = 0 then first := i + 1;
    complete token result;
    first := i + 1
  done

(* [deadline]: monotonic nanoseconds, 0 to poll, -1 for none. *)
let poll deadline =
  if !first = !last then (
    trace Soil_raw.trace_sleeps 0 "";
    let n = Soil_raw.wait deadline completions batch in
    trace Soil_raw.trace_wakes 0 "";
    if n < 0 then Failure.fail ~operation:"wait" ~subject:"" n;
    first := 0;
    last := n);
  see_to_completions ();
  last_poll := Soil_raw.clock_monotonic_ns ();
  if not (Timers.is_empty timers) then go_off !last_poll

let next_deadline () =
  if Timers.is_empty timers then -1
  else
    let at = Timers.earliest timers in
    if at = max_int then -1 else if at < 1 then 1 else at

(* Ends the program's wait after a signal's handler has raised an exception out of it. *)
let give_up fiber wait =
  fiber.wait <- nothing;
  if wait > 0 then if Soil_raw.cancel wait = 1 then free_token wait else !table.(wait) <- gone
  else if wait = asleep then cancel_alarm fiber
  else if wait <> turn then Waiters.remove fiber.entry

let rec block fiber =
  if fiber.wait <> nothing then (
    if !operations = 0 && Timers.is_empty timers then
      Error.fail Deadlock "wait" ~detail:"nothing that could end this wait can happen any more";
    poll (next_deadline ());
    block fiber)

(* A fiber that parks isn't in [ready] yet: parking allocates, so that a signal handler may raise
   out of it. [run_fiber] puts it there. *)
let have_turn fiber value =
  fiber.wait <- turn;
  fiber.value <- value

(* An alarm that is stopped before its fiber waits is never in the heap: no other fiber could have
   run, and nothing could have set it off. *)
let rec set_alarms fiber =
  match fiber.unset with
  | [] -> ()
  | timer :: rest ->
      Timers.add timers timer;
      fiber.unset <- rest;
      set_alarms fiber

(* Parks until [wake]. Outside of [run] no other fiber can run, so the program blocks. *)
let park wait =
  let fiber = !current in
  set_alarms fiber;
  fiber.wait <- wait;
  match
    if fiber == no_fiber then (
      block fiber;
      fiber.value)
    else (
      if fiber.node.cancelled && take_back fiber then have_turn fiber interrupted;
      Effects.park ())
  with
  | value -> value
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      if fiber.wait <> nothing then give_up fiber fiber.wait;
      Soil_backtrace.reraise e backtrace

let wait_token token =
  !table.(token) <- !current;
  let value = park token in
  if value = interrupted then cancelled () else value

let check () =
  Owner.check ();
  if !current.node.cancelled then cancelled ()

(* How many calls that needn't wait a fiber can make in a row. *)
let allowance = 64
let spent = ref 0

let yield () =
  Owner.check ();
  spent := 0;
  let fiber = !current in
  if fiber == no_fiber then poll 0
  else (
    check ();
    fiber.value <- 0;
    ignore (park turn);
    check ())

let spend () =
  if not (Owner.is_other ()) then (
    incr spent;
    if !spent >= allowance then yield ())

let[@inline never] trace_at_once operation =
  if not (Owner.is_other ()) then trace Soil_raw.trace_done !current.number operation

(* Each read and write comes here. *)
let at_once operation result =
  if Soil_raw_trace.tracing () <> 0 then trace_at_once operation;
  result

let operation_in_task ~operation ~subject submit =
  (* Yield before the operation: one that is answered at once never waits, and a cancellation here
     loses nothing. *)
  spend ();
  let token = new_token () in
  !pinned.(token) <- submit;
  let result = submit token in
  if result = Soil_raw.pending then (
    trace Soil_raw.trace_operation !current.number operation;
    let result = wait_token token in
    if result >= 0 then result
    else
      let detail = !current.detail in
      !current.detail <- "";
      if Failure.code result = Cancelled && !current.node.cancelled then cancelled ();
      Failure.fail_with ~operation ~subject ~detail result)
  else (
    free_token token;
    trace Soil_raw.trace_done !current.number operation;
    Failure.check ~operation ~subject result)

let operation ~operation ~subject submit =
  if Owner.is_other () then (Blocking.get ()).operation ~operation ~subject submit
  else operation_in_task ~operation ~subject submit

let wait_ready_in_task handle direction =
  let token = new_token () in
  let result = Soil_raw.fd_park handle direction token in
  if result = Soil_raw.pending then (
    trace Soil_raw.trace_operation !current.number (if direction = 0 then "read" else "write");
    (* If it failed, the next try returns the reason. *)
    ignore (wait_token token);
    0)
  else (
    free_token token;
    result)

let wait_ready handle direction =
  if Owner.is_other () then (Blocking.get ()).wait_ready handle direction
  else wait_ready_in_task handle direction

let wait_in queue =
  Owner.check ();
  if !current.node.cancelled then cancelled ();
  !current.entry <- Waiters.add queue !current;
  let value = park in_queue in
  !current.entry <- no_entry;
  if value = interrupted then cancelled ()

let wait_in_protected queue =
  Owner.check ();
  !current.entry <- Waiters.add queue !current;
  ignore (park in_queue_protected);
  !current.entry <- no_entry

let rec wake_first queue =
  Owner.check ();
  match Waiters.take queue with
  | None -> None
  | Some fiber when is_over fiber -> wake_first queue
  | Some fiber as first ->
      wake fiber 0;
      first

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
  let fiber = !current in
  let timer = Timers.timer ~at (Wake fiber) in
  (* First, so that no timer goes off for a fiber that doesn't know of it. *)
  fiber.timer <- Some timer;
  Timers.add timers timer;
  if park asleep = interrupted then cancelled ()

let sleep_until at =
  if Owner.is_other () then (Blocking.get ()).sleep_until at else sleep_in_task at

(* Running *)

let fibers = ref 0

(* So far: turns, and fibers that were started. *)
let turns_taken = ref 0
let started = ref 0

let run_fiber fiber =
  current := fiber;
  incr turns_taken;
  trace Soil_raw.trace_runs fiber.number "";
  spent := 0;
  let stopped =
    let stopped = fiber.stopped in
    if stopped == Effects.finished then (
      let body = fiber.body in
      fiber.body <- no_body;
      Effects.start body)
    else (
      fiber.stopped <- Effects.finished;
      Effects.continue stopped fiber.value)
  in
  (* Nothing from here on takes memory: no handler of a signal comes between. *)
  current := no_fiber;
  if stopped == Effects.finished then (
    trace Soil_raw.trace_ended fiber.number "";
    decr fibers)
  else (
    trace Soil_raw.trace_waits fiber.number (reason fiber.wait);
    fiber.stopped <- stopped;
    if fiber.wait = turn then wake fiber fiber.value)

let new_fiber body node =
  incr started;
  let fiber =
    {
      body;
      stopped = Effects.finished;
      value = 0;
      wait = nothing;
      entry = no_entry;
      timer = None;
      unset = [];
      detail = "";
      node;
      run = !this_run;
      number = !started;
      locals = !current.locals;
    }
  in
  incr fibers;
  Ring.push ready fiber;
  fiber

let spawn parent body =
  let node = insert ~shielded:false parent no_fiber in
  node.owner <- new_fiber body node;
  node

let cancel_at target at =
  let alarm = { target; rang = false } in
  let timer = Timers.timer ~at (Cancel alarm) in
  let fiber = !current in
  let stop () =
    (match fiber.unset with
    | first :: rest when first == timer -> fiber.unset <- rest
    | _ -> Timers.remove timers timer);
    not alarm.rang
  in
  fiber.unset <- timer :: fiber.unset;
  stop

(* After this number of fibers' turns, or this time, completions are collected although fibers are
   ready. *)
let turns_between_polls = 64
let ns_between_polls = 200_000
let turns = ref 0

type 'a outcome = Pending | Returned of 'a | Raised of exn * Failure.backtrace

let deadlock count =
  let detail =
    match count with
    | 1 -> "the only task waits for something that can't happen any more"
    | n -> "all " ^ string_of_int n ^ " tasks wait for each other"
  in
  Error.fail Deadlock "run" ~detail

(* Runs fibers until [finished ()]; [false] if none can run before. *)
let rec run_all finished =
  if finished () then true
  else if Ring.length ready = 0 then
    if !operations > 0 || not (Timers.is_empty timers) then (
      turns := 0;
      poll (next_deadline ());
      run_all finished)
    else if !root.cancelled then false
    else (
      (* All tasks are unwound first; a fiber that still waits after that is deadlocked. *)
      stop := Deadlocked !fibers;
      cancel !root;
      run_all finished)
  else
    let round = Ring.length ready in
    for _ = 1 to round do
      run_fiber (Ring.pop ready)
    done;
    turns := !turns + round;
    if
      Ring.length ready > 0
      && (!turns >= turns_between_polls
         || Soil_raw.clock_monotonic_ns () - !last_poll >= ns_between_polls)
    then (
      turns := 0;
      poll 0);
    run_all finished

(* Abandons the fibers that haven't ended. Their operations keep their buffers. *)
let forget_all () =
  fibers := 0;
  incr this_run;
  while Ring.length ready > 0 do
    ignore (Ring.pop ready)
  done;
  for token = 1 to Array.length !table - 1 do
    if !table.(token) != no_fiber then !table.(token) <- gone
  done;
  while not (Timers.is_empty timers) do
    ignore (Timers.take_due timers ~now:max_int)
  done

(* The exception of a signal's handler that ran in the scheduler itself. *)
type raised = Nothing | Exception of exn * Failure.backtrace

(* Such an exception cancels all tasks, and a second one leaves them where they are. *)
let rec run_until finished raised =
  match run_all finished with
  | true -> raised
  | false ->
      let count = !fibers in
      forget_all ();
      if raised = Nothing then deadlock count else raised
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      current := no_fiber;
      if raised = Nothing then (
        cancel !root;
        run_until finished (Exception (e, backtrace)))
      else (
        forget_all ();
        Soil_backtrace.reraise e backtrace)

let starting = ref ignore
let first_in_task = ref ignore

let run main =
  if in_task () then main ()
  else (
    !starting ();
    Failure.record_backtraces ();
    let outcome = ref Pending in
    let body () =
      outcome :=
        match
          !first_in_task ();
          main ()
        with
        | v -> Returned v
        | exception e -> Raised (e, Failure.get_backtrace ())
    in
    stop := Running;
    let node = insert ~shielded:false nil no_fiber in
    root := node;
    node.owner <- new_fiber body node;
    let ended () = match !outcome with Pending -> false | Returned _ | Raised _ -> true in
    let raised =
      match run_until ended Nothing with
      | raised ->
          root := nil;
          raised
      | exception e ->
          let backtrace = Failure.get_backtrace () in
          root := nil;
          Soil_backtrace.reraise e backtrace
    in
    match (raised, !stop, !outcome) with
    | Exception (e, backtrace), _, _ -> Soil_backtrace.reraise e backtrace
    | Nothing, Exit status, _ -> Stdlib.exit status
    | Nothing, Stop_requested, Raised (Cancelled, _) -> Stdlib.exit stopped_status
    | Nothing, Deadlocked count, Raised (Cancelled, _) -> deadlock count
    | Nothing, _, Returned v -> v
    | Nothing, _, Raised (e, backtrace) -> Soil_backtrace.reraise e backtrace
    | Nothing, _, Pending -> assert false)

let exit status =
  if status < 0 || status > 255 then invalid_arg "Soil.exit: status not between 0 and 255";
  if not (in_task ()) then Stdlib.exit status
  else (
    stop := Exit status;
    cancel !root;
    cancelled ())

let is_exiting () = match !stop with Exit _ -> true | _ -> false
let counts () = (!operations, !fibers)
let activity () = (Ring.length ready, !started, !turns_taken)

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
