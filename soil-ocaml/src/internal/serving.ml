(* Serves the connections of a listener, each in a task: {!Tcp.serve} and {!Vsock.serve}. *)

(* Whether [e] is the exception that [d] itself raised as its peer went away, physically. *)
let is_peer_gone (d : Descriptor.t) e =
  e == d.failure
  &&
  match e with
  | Error.Error { code = Connection_reset | Broken_pipe | Timed_out | Not_connected; _ } -> true
  | _ -> false

(* What a protocol above [c] has refused of its peer is in the log (Private.peer_failed). *)
let is_of_peer (d : Descriptor.t) e =
  match d.failure with Descriptor.Of_peer f -> f == e | _ -> false

let report (d : Descriptor.t) e =
  let backtrace = Failure.get_backtrace () in
  if not (is_of_peer d e) then
    Failure.report (fun () -> d.io.describe d ^ ": exception ") e backtrace

let handle_connection handler on_error abort peer (d : Descriptor.t) =
  Descriptor.closing d @@ fun d ->
  match Budget.run peer (fun () -> handler d) with
  | () -> ()
  | exception Scheduler.Cancelled
    when Scheduler.(is_cancelled (current_context ()) || is_exiting ()) ->
      ()
  | exception e when is_peer_gone d e -> ()
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      ignore (Shortage.recover e);
      if Budget.is_refusal e then (
        d.failure <- Descriptor.Of_peer e;
        abort d);
      Failure.restore_backtrace e backtrace;
      on_error d e

(* Shortages that may be over when a connection has ended. *)
let is_shortage = function
  | Error.Error { code = Too_many_open; _ } -> true
  | e -> Budget.is_refusal e || Shortage.recover e

(* What [accept] says of a listener that was closed. *)
let is_end = function Error.Error { code = Closed; _ } -> true | e -> Budget.is_refusal e
let pause_after_shortage = 0.05

(* What a connection without any bytes takes of OCaml's heap: task, stack, descriptor. *)
let connection_bytes = 4096

let serve name accept_next ~abort ?(max_connections = 4096) ?(grace = 5.) ?(on_error = report)
    (l : Descriptor.t) handler =
  if max_connections < 1 then invalid_arg (name ^ ": max_connections is less than 1");
  let room = Task.Semaphore.create max_connections in
  let all_ended = Task.Condition.create () in
  let start connections d peer =
    let accepting = Scheduler.current_context () in
    let work () =
      match handle_connection handler on_error abort peer d with
      | () -> ()
      | exception e when is_shortage e -> ()
      | exception e ->
          let backtrace = Failure.get_backtrace () in
          Scheduler.cancel accepting;
          Soil_backtrace.reraise e backtrace
    in
    (* Also of a task that is cancelled before its first turn. *)
    let ended () =
      Descriptor.close d;
      Budget.release peer;
      Task.Semaphore.release room;
      if Task.Semaphore.available room = max_connections then Task.Condition.broadcast all_ended
    in
    let task = Descriptor.closed_on_failure d (fun () -> Task.spawn connections work) in
    Task.on_end task ended
  in
  let rec accept_all connections =
    Task.Semaphore.acquire room;
    let peer = Budget.create () in
    match
      (* Those for whom there is no room wait in the backlog. *)
      Budget.grow peer connection_bytes ~patience:infinity ~wanted:(fun () -> l.is_open);
      start connections (accept_next l) peer
    with
    | () -> accept_all connections
    | exception e -> (
        let backtrace = Failure.get_backtrace () in
        Budget.release peer;
        Task.Semaphore.release room;
        match e with
        | _ when (not l.is_open) && is_end e -> ()
        | e when is_shortage e ->
            Clock.sleep pause_after_shortage;
            accept_all connections
        | e -> Soil_backtrace.reraise e backtrace)
  in
  let rec wait_for_all () =
    if Task.Semaphore.available room < max_connections then (
      Task.Condition.wait_no_mutex all_ended;
      wait_for_all ())
  in
  (* Cancelling [serve] ends [serve_all], which is below the caller's context, and not the
     connections, which are protected. *)
  let serve_in_task () =
    let caller = Scheduler.current_context () in
    Task.protect @@ fun () ->
    Task.scope @@ fun connections ->
    let serve_all () =
      accept_all connections;
      wait_for_all ()
    in
    match Scheduler.within caller serve_all with
    | () -> ()
    | exception (Scheduler.Cancelled as e) ->
        let backtrace = Failure.get_backtrace () in
        ignore (Task.timeout_opt grace wait_for_all);
        Soil_backtrace.reraise e backtrace
  in
  if Scheduler.in_task () then serve_in_task () else Scheduler.run serve_in_task
