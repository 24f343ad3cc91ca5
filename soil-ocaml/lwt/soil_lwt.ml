module Task = Soil.Task

(* What tasks have to do in the loop: only there callbacks of Lwt run. *)
let submitted : (unit -> unit) Queue.t = Queue.create ()

module Driver = struct
  type t = { drive : unit Lwt.t -> unit; wake : unit -> unit }

  let step () =
    let any = not (Queue.is_empty submitted) in
    while not (Queue.is_empty submitted) do
      (Queue.pop submitted) ()
    done;
    any

  (* Lwt alone: nothing but tasks resolves promises. *)

  let something = Task.Condition.create ()

  let rec drive until =
    let stepped = step () in
    let paused = Lwt.paused_count () > 0 in
    Lwt.wakeup_paused ();
    if Lwt.is_sleeping until then (
      if stepped || paused then Task.yield () else Task.Condition.wait_no_mutex something;
      drive until)

  let registered = ref { drive; wake = (fun () -> Task.Condition.broadcast something) }
  let register driver = registered := driver
end

let scope_of_tasks = ref None

(* Whether this task is the loop. *)
let is_loop = Task.Local.create ()

let submit f =
  Queue.add f submitted;
  !Driver.registered.wake ()

let stop ended =
  scope_of_tasks := None;
  Lwt.register_pause_notifier ignore;
  submit (Lwt.wakeup_later ended)

let with_loop main =
  Task.scope @@ fun outer ->
  let until, ended = Lwt.wait () in
  let driver = !Driver.registered in
  (* Tasks may need Lwt while they unwind. *)
  let loop () =
    Task.Local.with_ is_loop true (fun () -> Task.protect (fun () -> driver.drive until))
  in
  ignore (Task.spawn_daemon outer loop);
  (* A daemon that is cancelled before its first turn never runs. *)
  Task.yield ();
  Lwt.register_pause_notifier (fun _ -> driver.wake ());
  Fun.protect ~finally:(fun () -> stop ended) @@ fun () ->
  Task.scope @@ fun scope ->
  scope_of_tasks := Some scope;
  main ()

let run main =
  match !scope_of_tasks with Some _ -> main () | None -> Soil.run (fun () -> with_loop main)

let scope () =
  match !scope_of_tasks with
  | Some scope -> scope
  | None -> invalid_arg "Soil_lwt: not inside of Soil_lwt.run"

let check_outside_of_callbacks () =
  if Task.Local.get is_loop = Some true then
    invalid_arg "Soil_lwt: a callback of Lwt can't wait for a promise: use Lwt.bind"

let await p =
  check_outside_of_callbacks ();
  match Lwt.state p with
  | Return v -> v
  | Fail e -> raise e
  | Sleep -> (
      ignore (scope ());
      let promise = Task.Promise.create () in
      Lwt.on_any p (Task.Promise.fulfil promise) (Task.Promise.break promise);
      try Task.Promise.await promise
      with Task.Cancelled when Lwt.is_sleeping p ->
        submit (fun () -> Lwt.cancel p);
        raise Task.Cancelled)

let run_promise f =
  check_outside_of_callbacks ();
  ignore (scope ());
  Task.check ();
  let started = Task.Promise.create () in
  let start () =
    Task.Promise.fulfil started (match f () with p -> p | exception e -> Lwt.fail e)
  in
  submit start;
  (* What has begun has to be known, to be cancelled. *)
  await (Task.protect (fun () -> Task.Promise.await started))

let task f =
  let p, resolver = Lwt.task () in
  let compute () =
    match f () with
    | v -> Ok v
    | exception Task.Cancelled -> Error Lwt.Canceled
    | exception e -> Error e
  in
  let task = Task.spawn (scope ()) (fun () -> Task.Local.with_ is_loop false compute) in
  ( Task.on_end task @@ fun () ->
    let result =
      (* A task that is cancelled before its first turn has no result. *)
      match Task.result task with
      | Some (Ok r) -> r
      | Some (Error _) | None -> Error Lwt.Canceled
    in
    submit (fun () -> Lwt.wakeup_later_result resolver result) );
  Lwt.on_cancel p (fun () -> Task.cancel task);
  p
