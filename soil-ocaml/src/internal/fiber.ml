(* The records of fibers and of contexts of cancellation, which refer to each other. [Cancel] has
   the tree of contexts, [Tokens] the fibers that wait for the machine, [Scheduler] the rest.

   State. A fiber that hasn't ended runs, is ready, or waits. The one that runs is the scheduler's
   current one. One that is ready is in the scheduler's ring, once. In both cases [wait] is
   [Nothing]. One that waits has another [wait], which says what holds it, and thereby who wakes it:
   nothing else does. A fiber stays with its scheduler from its start to its end.

   What holds a fiber. One thing at a time: the slot of [token], the queue with [entry], or the heap
   of timers with [timer]. Who wakes the fiber takes it out there first, and so does who interrupts
   it; the second of two finds nothing. So it is woken once for each time that it parks.

   Alarms. [unset] are the alarms of [Scheduler.cancel_at] that the fiber has set since it waited
   last. They enter the heap of timers only when it waits, because most are taken back before.

   Runs. [run] is the run that the fiber was started in. A run that fails leaves its fibers where
   they are, in queues of the program perhaps, where a later run finds them. They are over
   and never resumed.

   Context. [context] is the innermost that the fiber has entered. No two fibers are in the same. *)

type local = ..

type wait =
  | Nothing  (** It runs or is ready. *)
  | Turn  (** Other fibers' turns; it is ready as soon as it has parked. *)
  | Completion  (** The completion of [token]. *)
  | Queue  (** [Scheduler.wake_first] of the queue with [entry]. *)
  | Protected_queue  (** The same, and no cancellation ends it. *)
  | Sleep  (** The moment of [timer]. *)

type t = {
  mutable body : unit -> unit;  (** Before the start. *)
  mutable stopped : Effects.t;  (** Where it parked. *)
  mutable value : int;  (** Result of the parked call. *)
  mutable wait : wait;
  mutable token : int;  (** Of its last {!Completion}. *)
  mutable entry : t Waiters.t;  (** Its place in a queue, if it waits in one. *)
  mutable timer : event Timers.timer;  (** Its alarm, if it sleeps. *)
  mutable unset : event Timers.timer list;  (** The youngest first. *)
  mutable detail : string;  (** Of the failed operation that it waited for. *)
  mutable context : context;
  run : int;
  home : int;  (** The index of its scheduler's domain. *)
  number : int;  (** Among all that were started. *)
  mutable locals : local list;  (** The youngest first. *)
}

and context = {
  mutable cancelled : bool;
  shielded : bool;
  parent : context;
  mutable owner : t;  (** The fiber that has entered it. *)
  mutable child : context;  (** The youngest; [nil] if there is none. *)
  mutable older : context;  (** Sibling; [nil] if there is none. *)
  mutable younger : context;
}

and event = Wake of t | Cancel of alarm | Give_up
and alarm = { target : context; mutable rang : bool }

let no_body () = ()
let no_run = 0
let no_entry : t Waiters.t = Waiters.create ()
let no_timer = Timers.timer ~at:0 Give_up

let rec nil =
  {
    cancelled = false;
    shielded = true;
    parent = nil;
    owner = none;
    child = nil;
    older = nil;
    younger = nil;
  }

(* The program outside of [Scheduler.run], which waits by blocking. *)
and none =
  {
    body = no_body;
    stopped = Effects.finished;
    value = 0;
    wait = Nothing;
    token = 0;
    entry = no_entry;
    timer = no_timer;
    unset = [];
    detail = "";
    context = nil;
    run = no_run;
    home = 0;
    number = 0;
    locals = [];
  }

(* The fiber of a slot whose fiber was abandoned: its completion wakes no other. *)
let ended = { none with body = no_body }
