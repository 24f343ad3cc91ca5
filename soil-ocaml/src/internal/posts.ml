(* Taken and added by compare-and-set. The receiver says that it sleeps before it looks for posts a
   last time, and a sender reads that after it has added one: so one of the two sees the other. *)

type state = Open of (unit -> unit) list | Closed  (** The youngest first. *)

type t = {
  domain : int;
  state : state Atomic.t;
  asleep : bool Atomic.t;
  mutable taken : (unit -> unit) list;  (** The oldest first; the receiver's. *)
}

let create domain =
  { domain; state = Atomic.make (Open []); asleep = Atomic.make false; taken = [] }

let rec send t f =
  match Atomic.get t.state with
  | Closed -> false
  | Open posts as before ->
      if Atomic.compare_and_set t.state before (Open (f :: posts)) then (
        (* The first of several senders calls the receiver. *)
        if Atomic.get t.asleep && Atomic.exchange t.asleep false then
          ignore (Soil_raw.domain_call t.domain);
        true)
      else send t f

let is_empty t = match Atomic.get t.state with Open (_ :: _) -> false | Open [] | Closed -> true

let rec run_taken t =
  match t.taken with
  | [] -> ()
  | f :: rest ->
      t.taken <- rest;
      f ();
      run_taken t

let run_after t state =
  (match Atomic.exchange t.state state with
  | Open posts -> t.taken <- t.taken @ List.rev posts
  | Closed -> ());
  run_taken t

let run t = if not (is_empty t) then run_after t (Open [])
let open_ t = Atomic.set t.state (Open [])
let close t = run_after t Closed

let sleep_until t deadline =
  if deadline = 0 then 0
  else (
    Atomic.set t.asleep true;
    if is_empty t then deadline else 0)

let awake t = Atomic.set t.asleep false
