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
  match Peers.run peer (fun () -> handler d) with
  | () -> ()
  | exception Scheduler.Cancelled
    when Scheduler.(is_cancelled (current_context ()) || is_exiting ()) ->
      ()
  | exception e when is_peer_gone d e -> ()
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      ignore (Shortage.recover e);
      if Peers.is_refusal e then (
        d.failure <- Descriptor.Of_peer e;
        abort d);
      Failure.restore_backtrace e backtrace;
      on_error d e

(* Shortages that may be over when a connection has ended. *)
let is_shortage = function
  | Error.Error { code = Too_many_open; _ } -> true
  | e -> Peers.is_refusal e || Shortage.recover e

(* What [accept] says of a listener that was closed. *)
let is_end = function Error.Error { code = Closed; _ } -> true | e -> Peers.is_refusal e
let pause_after_shortage = 0.05
let pause_when_full = 0.25

(* What a connection without any bytes takes of OCaml's heap: task, stack, descriptor. *)
let connection_bytes = 4096

let serve name accept_next ~abort ?(max_connections = 4096) ?(grace = 5.) ?on_error l handler =
  let l = Typed.any l and handler d = handler (Typed.typed d) in
  let on_error = match on_error with Some f -> fun d e -> f (Typed.typed d) e | None -> report in
  if max_connections < 1 then invalid_arg (name ^ ": max_connections is less than 1");
  let server = Peers.server () in
  let connected = Atomic.make 0 and one_ended = Task.Condition.create () in
  (* For those that wait for a place, and for the end of all. *)
  let uncount () =
    Atomic.decr connected;
    Task.Condition.broadcast one_ended
  in
  let start connections d peer =
    let accepting = Scheduler.current_context () in
    let work () =
      try handle_connection handler on_error abort peer d with
      | e when is_shortage e -> ()
      | e ->
          let backtrace = Failure.get_backtrace () in
          Scheduler.cancel accepting;
          Soil_backtrace.reraise e backtrace
    in
    (* Also of a task that is cancelled before its first turn. *)
    let ended () =
      Descriptor.close d;
      Peers.release peer;
      uncount ()
    in
    Task.on_end (Task.spawn connections work) ended
  in
  let await_end () = Task.Condition.wait_no_mutex one_ended in
  let rec await_place () =
    if not l.is_open then Error.fail Closed "accept";
    if Atomic.get connected > max_connections then (
      Peers.evict_idle server;
      ignore (Task.timeout_opt pause_when_full await_end);
      await_place ())
  in
  (* Nobody goes before somebody comes. The others wait in the backlog. *)
  let admit connections (d : Descriptor.t) =
    Failure.undoing uncount await_place;
    let peer = Peers.create_for server in
    let undo () =
      Peers.release peer;
      uncount ()
    in
    Failure.undoing undo @@ fun () ->
    Peers.grow peer connection_bytes ~patience:infinity ~wanted:(fun () -> l.is_open);
    d.wait <- Peers.wait_quietly peer;
    start connections d peer
  in
  (* The scope may have ended since another domain has chosen this one. *)
  let adopt connections d =
    let begun = ref false in
    let admit () =
      begun := true;
      try Descriptor.closed_on_failure d (fun () -> admit connections d)
      with e when is_shortage e || is_end e -> ()
    in
    let refuse () =
      if not !begun then (
        uncount ();
        Descriptor.close d)
    in
    match Task.spawn connections admit with
    | task -> Task.on_end task refuse
    | exception Invalid_argument _ -> refuse ()
  in
  let rec accept_all connections place =
    match
      let d : Descriptor.t = accept_next l in
      Descriptor.closed_on_failure d @@ fun () ->
      if not (Shared_listener.pass_on l place d) then admit connections d
    with
    | () -> accept_all connections place
    | exception e -> (
        let backtrace = Failure.get_backtrace () in
        match e with
        | _ when (not l.is_open) && is_end e -> ()
        | e when is_shortage e ->
            Clock.sleep pause_after_shortage;
            accept_all connections place
        | e -> Soil_backtrace.reraise e backtrace)
  in
  let rec wait_for_all () =
    if Atomic.get connected > 0 then (
      await_end ();
      wait_for_all ())
  in
  (* Cancelling [serve] ends [serve_all], which is below the caller's context, and not the
     connections, which are protected. *)
  let serve_in_task () =
    let caller = Scheduler.current_context () in
    Task.protect @@ fun () ->
    Task.scope @@ fun connections ->
    let place : Shared_listener.place =
      { domain = Scheduler.domain (); load = connected; adopt = adopt connections }
    in
    let serve_all () =
      Shared_listener.serving l place (fun () -> accept_all connections place);
      wait_for_all ()
    in
    try Scheduler.within caller serve_all
    with Scheduler.Cancelled as e ->
      let backtrace = Failure.get_backtrace () in
      ignore (Task.timeout_opt grace wait_for_all);
      Soil_backtrace.reraise e backtrace
  in
  if Scheduler.in_task () then serve_in_task () else Scheduler.run serve_in_task
