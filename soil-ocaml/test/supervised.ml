(* Children with scripted behavior, for the tests of Soil.Supervisor. *)
open Check
module S = Soil.Supervisor

let at_once = { S.first = 0.; most = 0.; jitter = 0. }
let no_limit = { S.restarts = max_int; within = 1. }

let run ?rule ?(limit = no_limit) ?(backoff = at_once) ?(report = fun _ _ -> ()) body =
  S.run ?rule ~limit ~backoff ~report body

(* Waits for what other tasks make true. *)
let rec until what =
  if not (what ()) then (
    T.yield ();
    until what)

let rec is_stable (h : S.health) =
  (match h.state with Ready | Ended _ -> true | _ -> false) && List.for_all is_stable h.children

let await_stable s = until (fun () -> List.for_all is_stable (S.health s))

type order = Fail | Return

exception Told of string

(* A child that says when it starts (+), when it fails to (!), and when what it owns is released
   (-). *)
type told = {
  name : string;
  say : string -> unit;
  mutable orders : order T.Promise.t;
  mutable bad_starts : int;  (** How many of the next starts fail. *)
  mutable ends : int;
}

let told say name = { name; say; orders = T.Promise.create (); bad_starts = 0; ends = 0 }

let start t scope =
  if t.bad_starts > 0 then (
    t.bad_starts <- t.bad_starts - 1;
    t.say ("!" ^ t.name);
    raise (Told t.name));
  t.say ("+" ^ t.name);
  T.on_release scope (fun () ->
      t.ends <- t.ends + 1;
      t.say ("-" ^ t.name));
  t.orders <- T.Promise.create ();
  t.name

let work t _ = match T.Promise.await t.orders with Fail -> raise (Told t.name) | Return -> ()
let add ?restart s t = S.add ?restart s t.name (start t) ~run:(work t)

(* Has [t] end, and waits for all that follows below [s]. *)
let tell s t order =
  let before = t.ends in
  T.Promise.fulfil t.orders order;
  until (fun () -> t.ends > before);
  await_stable s
