(** Listeners that several domains serve. Private to Soil.

    Each new connection goes to the domain with the fewest that doesn't compute: its acceptor posts
    it there. *)

type place = {
  domain : int;
  load : int Atomic.t;  (** Its connections. *)
  adopt : Descriptor.t -> unit;
      (** [adopt d] serves [d], which [load] counts, in [domain], in whose scheduler it is called.
          It closes [d] if it can't. *)
}
(** The type for the parts that domains have in serving a listener. *)

(* One immutable list of all. With one domain it stays empty. *)
let all : (Descriptor.t * place) list Atomic.t = Atomic.make []

let rec update f =
  let before = Atomic.get all in
  if not (Atomic.compare_and_set all before (f before)) then update f

(** [serving l place f] is [f ()], during which [place] gets a part of the connections of [l]. *)
let serving l place f =
  if not !Guard.several then f ()
  else (
    update (fun places -> (l, place) :: places);
    let leave () = update (List.filter (fun (_, other) -> other != place)) in
    Failure.finally leave f)

(* A domain that computes would let a new connection wait. *)
let fewest l own = function
  | [] -> own
  | places ->
      let now = Soil_raw.clock_monotonic_ns () in
      let fewer least (listener, place) =
        if
          listener == l
          && Atomic.get place.load < Atomic.get least.load
          && not (Scheduler.is_engaged place.domain ~now)
        then place
        else least
      in
      List.fold_left fewer own places

(* Two domains that choose at the same time choose one after the other. *)
let guard = Guard.create ()

let choose l own =
  Guard.enter guard;
  let place = fewest l own (Atomic.get all) in
  Atomic.incr place.load;
  Guard.leave guard;
  place

(** [pass_on l own d] counts [d], a new connection of [l], for the domain with the fewest. It is
    [true] if this is another one than that of [own], and serves [d]. *)
let pass_on l own d =
  let place = choose l own in
  if place == own then false
  else if Scheduler.post place.domain (fun () -> place.adopt d) then true
  else (
    Atomic.decr place.load;
    Atomic.incr own.load;
    false)
