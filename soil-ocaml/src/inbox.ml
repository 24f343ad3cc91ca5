(* What starts a task in the inbox's scope. *)
type t = (Task.scope -> unit) Mailbox.t

let set_event token = if token <> 0 then ignore (Soil_raw.event_set token)

let create scope =
  let inbox = Mailbox.create () in
  let rec serve () =
    let start = Mailbox.take inbox ~operation:"inbox" in
    start scope;
    serve ()
  in
  let start_all () = List.iter (fun start -> start scope) (Mailbox.close inbox) in
  ignore (Task.spawn_daemon scope (fun () -> Failure.undoing start_all serve));
  (* A daemon that is cancelled before its first turn never runs. *)
  Task.yield ();
  inbox

let ended name = invalid_arg ("Soil.Inbox." ^ name ^ ": the scope of the inbox has ended")

let post inbox f =
  if not (Mailbox.put inbox (fun scope -> ignore (Task.spawn scope f))) then ended "post"

(* A call of [submit]: its task, once it was started, and the thread's event. *)
type 'a submission = {
  mutable task : ('a, exn * Failure.backtrace) result Task.t option;
  mutable has_ended : bool;
  mutable event : int;
}

let rec await_end submission =
  if not submission.has_ended then (
    let await token =
      let result = Soil_raw.event token in
      submission.event <- token;
      if submission.has_ended then set_event token;
      result
    in
    ignore (Scheduler.operation ~operation:"inbox" ~subject:"" await);
    await_end submission)

let outcome submission =
  match submission.task with
  | None -> None
  | Some task -> (
      match Task.result task with
      | Some (Ok outcome) -> Some outcome
      | Some (Error _) | None -> None)

let submit inbox f =
  if not (Owner.is_other ()) then
    invalid_arg "Soil.Inbox.submit: called in the first thread, whose tasks need no inbox";
  (* Before [f] runs: without soil.threads there is no wait. *)
  ignore (Blocking.get ());
  let submission = { task = None; has_ended = false; event = 0 } in
  let work () =
    match f () with
    | v -> Ok v
    | exception Task.Cancelled when Scheduler.(is_cancelled (current_context ())) ->
        Scheduler.cancelled ()
    | exception e -> Error (e, Failure.get_backtrace ())
  in
  let start scope =
    let task = Task.spawn scope work in
    submission.task <- Some task;
    Task.on_end task @@ fun () ->
    submission.has_ended <- true;
    set_event submission.event
  in
  let cancel _ = match submission.task with Some task -> Task.cancel task | None -> () in
  if not (Mailbox.put inbox start) then ended "submit";
  match await_end submission with
  | () -> (
      match outcome submission with
      | Some (Ok v) -> v
      | Some (Error (e, backtrace)) -> Soil_backtrace.reraise e backtrace
      | None -> Scheduler.cancelled ())
  | exception e -> (
      let backtrace = Failure.get_backtrace () in
      (* Of an inbox that has ended, the task was started and ends with the scope. *)
      ignore (Mailbox.put inbox cancel);
      Task.protect (fun () -> await_end submission);
      match (e, outcome submission) with
      | Task.Cancelled, Some (Ok v) -> v
      | _ -> Soil_backtrace.reraise e backtrace)
