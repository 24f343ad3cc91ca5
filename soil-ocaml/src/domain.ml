(* Each domain has one scope, in which others start tasks. It stays open until [main] has returned,
   which is after the end of these tasks: each has a task that waits for its outcome, in the scope
   that it was started for. *)

module Promise = Sync.Promise

type t = { index : int;  (** Of OCaml's domain. *) scope : Task.scope }

(* By number; none outside of [run]. *)
let domains : t array ref = ref [||]

(* What the first domain knows of them, from their start until their end. *)
type running = {
  started : unit Promise.t;
  mutable users : int;  (** Calls of [run] that haven't returned, beside the first. *)
  unused : Sync.Condition.t;
}

let running : running option ref = ref None
let count () = max 1 (Array.length !domains)

let rec number_of index i =
  if i >= Array.length !domains then 0
  else if !domains.(i).index = index then i
  else number_of index (i + 1)

let self () = number_of (Scheduler.domain ()) 0

let check name n =
  if n < 1 || n > Owner.domains then
    invalid_arg ("Soil.Domain." ^ name ^ ": domains not between 1 and 128")

let number_of_domains = function
  | None -> min Owner.domains (Stdlib.Domain.recommended_domain_count ())
  | Some n ->
      check "run" n;
      n

let work closing started () =
  Scheduler.run_domain @@ fun () ->
  Task.scope @@ fun scope ->
  Promise.fulfil started { index = Scheduler.domain (); scope };
  Promise.await closing

let start closing =
  let started = Promise.create () in
  let work () =
    try work closing started ()
    with e ->
      let backtrace = Failure.get_backtrace () in
      (* If it can't start. *)
      ignore (Promise.try_resolve started (Broken e));
      Soil_backtrace.reraise e backtrace
  in
  let ended () = Atomic.decr Scheduler.others in
  Atomic.incr Scheduler.others;
  let work () = Failure.finally ended work in
  (Failure.undoing ended (fun () -> Stdlib.Domain.spawn work), started)

(* All of them, also if one ended by an exception. *)
let rec join_all = function
  | [] -> ()
  | (domain, _) :: rest ->
      Failure.finally (fun () -> join_all rest) (fun () -> Stdlib.Domain.join domain)

let use running main =
  running.users <- running.users + 1;
  let leave () =
    running.users <- running.users - 1;
    if running.users = 0 then Sync.Condition.broadcast running.unused
  in
  Failure.finally leave @@ fun () ->
  Promise.await running.started;
  main ()

let rec await_others own () =
  if own.users > 0 then (
    Sync.Condition.wait_no_mutex own.unused;
    await_others own ())

let start_others n closing others scope =
  let all = Slots.make n { index = 0; scope } in
  for _ = 2 to n do
    others := start closing :: !others
  done;
  List.iteri (fun i (_, started) -> all.(n - 1 - i) <- Promise.await started) !others;
  domains := all

(* For a task that waits for the start by another one. *)
let not_started =
  let detail = "another task could not start them" in
  Error.Error { code = Closed; operation = "domains"; subject = ""; detail }

let with_others n main =
  Guard.start ();
  (* Before they wait: this domain can still change how. *)
  ignore (Soil_raw.expect_threads ());
  let closing = Promise.create () and others = ref [] in
  let own = { started = Promise.create (); users = 0; unused = Sync.Condition.create () } in
  let join () =
    Promise.fulfil closing ();
    domains := [||];
    running := None;
    join_all !others
  in
  running := Some own;
  Failure.finally join @@ fun () ->
  Task.scope @@ fun scope ->
  let failed () = Promise.break own.started not_started in
  Failure.undoing failed (fun () -> start_others n closing others scope);
  Promise.fulfil own.started ();
  Failure.finally (fun () -> Scheduler.protect (await_others own)) main

let run ?domains main =
  let n = number_of_domains domains in
  let main () =
    match !running with
    | Some running when self () = 0 -> use running main
    | Some _ -> main ()
    | None -> if n = 1 then main () else with_others n main
  in
  Scheduler.run main

type 'a outcome = ('a, exn * Failure.backtrace) result

let ended () = Error.fail Closed "domain" ~detail:"it has ended"

(* Runs [f ()] in the domain, and waits for its end. *)
let remote domain f =
  let outcome : _ outcome Promise.t = Promise.create () in
  let task = ref None in
  let locals = Scheduler.locals () in
  let body () =
    Scheduler.set_locals locals;
    let result =
      match f () with v -> Ok v | exception e -> Stdlib.Error (e, Failure.get_backtrace ())
    in
    ignore (Promise.try_fulfil outcome result)
  in
  let unstarted e =
    ignore (Promise.try_fulfil outcome (Stdlib.Error (e, Failure.get_backtrace ())))
  in
  let start () =
    match Task.spawn domain.scope body with
    | spawned ->
        task := Some spawned;
        (* Also of one that is cancelled before its first turn. *)
        Task.on_end spawned (fun () -> unstarted Scheduler.Cancelled)
    | exception e -> unstarted e
  in
  let cancel () = match !task with Some task -> Task.cancel task | None -> () in
  if not (Scheduler.post domain.index start) then ended ();
  let await () = Promise.await outcome in
  match await () with
  | Ok v -> v
  | Stdlib.Error (e, backtrace) -> Soil_backtrace.reraise e backtrace
  | exception e -> (
      let backtrace = Failure.get_backtrace () in
      ignore (Scheduler.post domain.index cancel);
      match Scheduler.protect await with
      (* A cancelled task that fails fails its scope, here as there. *)
      | Stdlib.Error (failure, backtrace) when failure != Scheduler.Cancelled ->
          Soil_backtrace.reraise failure backtrace
      | Ok _ | Stdlib.Error _ -> Soil_backtrace.reraise e backtrace)

let turn = Atomic.make 0

let spawn ?domain scope f =
  let n = count () in
  let number =
    match domain with
    | None -> Atomic.fetch_and_add turn 1 land max_int mod n
    | Some i when i < 0 || i >= n -> invalid_arg "Soil.Domain.spawn: no such domain"
    | Some i -> i
  in
  if number = self () then Task.spawn scope f
  else
    let domain = !domains.(number) in
    Task.spawn scope (fun () -> remote domain f)

let each_of n f =
  Task.scope @@ fun scope ->
  for i = 0 to n - 1 do
    ignore (spawn ~domain:i scope (fun () -> f i))
  done

let each ?domains f =
  match domains with
  | None -> each_of (count ()) f
  | Some n ->
      check "each" n;
      run ~domains:n (fun () -> each_of (min n (count ())) f)
