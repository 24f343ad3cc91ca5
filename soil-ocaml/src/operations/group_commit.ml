(* Turns of the scheduler in which no member comes. *)
let patience = 8

type t = {
  mutex : Task.Mutex.t;
  mutable members : int;
  mutable waiting : int; (* members in [commit] *)
  mutable next : int; (* number of the next sync *)
  mutable ended : int; (* number of the last that succeeded or failed *)
  mutable failure : (int * exn * Soil_backtrace.t) option; (* the last one that failed *)
}

let create () =
  { mutex = Task.Mutex.create (); members = 0; waiting = 0; next = 0; ended = -1; failure = None }

let is_shared t = t.members > 1

let member t f =
  t.members <- t.members + 1;
  Failure.finally (fun () -> t.members <- t.members - 1) f

(* Lets other members come to this sync, as long as some do. *)
let rec gather t idle =
  if t.waiting < t.members && idle < patience then (
    let waiting = t.waiting in
    Task.yield ();
    gather t (if t.waiting > waiting then 0 else idle + 1))

(* Tasks that come while it runs wait for the next one. If it is cancelled, those that wait for it
   call their own. *)
let sync t f =
  let number = t.next in
  t.next <- number + 1;
  match f () with
  | () -> t.ended <- number
  | exception (Error.Error _ as e) ->
      let backtrace = Printexc.get_raw_backtrace () in
      t.ended <- number;
      t.failure <- Some (number, e, backtrace);
      Soil_backtrace.reraise e backtrace

let commit t f =
  let first = t.next in
  t.waiting <- t.waiting + 1;
  Failure.finally (fun () -> t.waiting <- t.waiting - 1) @@ fun () ->
  Task.Mutex.protect t.mutex @@ fun () ->
  if t.ended >= first then
    match t.failure with
    | Some (number, e, backtrace) when number >= first -> Soil_backtrace.reraise e backtrace
    | _ -> ()
  else (
    gather t 0;
    sync t f)
