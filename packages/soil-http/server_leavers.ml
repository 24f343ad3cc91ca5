(* Clients that leave while their handlers run: the handlers are cancelled. *)

open Server_request

let is_failure conn e = Input.is_failure conn.input e
let check_seconds = 0.5

(* Whether there is nothing more to come from the client: the handler reads none of it now. *)
let is_gone conn =
  Input.buffered conn.input = 0
  &&
  let is_over () =
    Input.until conn.input infinity;
    match Soil.Task.timeout_opt 0. (fun () -> Input.more conn.input) with
    | Some more -> not more
    | None -> false
    | exception e when is_failure conn e -> true
  in
  match Soil.Private.would_wait (Input.flow conn.input) with
  | Some true -> false
  | Some false | None -> is_over ()

(** [leave conn] cancels the handler of [conn], whose client has left. *)
let leave conn =
  match conn.working with
  | Some request ->
      conn.has_left <- true;
      Soil.Task.cancel_scope request.scope
  | None -> ()

let check_client conn =
  match conn.working with
  | None -> ()
  | Some request when Option.fold ~none:true ~some:(( != ) request) conn.seen ->
      conn.seen <- conn.working
  | Some request ->
      if Body.is_over request.content then (
        conn.is_checked <- true;
        let is_gone =
          Soil.Private.finally (fun () -> conn.is_checked <- false) (fun () -> is_gone conn)
        in
        if is_gone && Option.fold ~none:false ~some:(( == ) request) conn.working then leave conn)

(* [each f] is [f conn] for all connections. *)
let rec watch_clients w each =
  if w.is_active then Soil.Clock.sleep check_seconds else Soil.Task.Condition.wait_no_mutex w.wanted;
  w.is_active <- false;
  each (fun conn ->
      if Option.is_some conn.working then w.is_active <- true;
      check_client conn);
  watch_clients w each

let begin_work conn request =
  match (conn.server.watch, conn.wire) with
  | None, _ -> ()
  (* Its client says so. *)
  | Some _, Version_2 _ -> conn.working <- Some request
  | Some w, Version_1 ->
      conn.working <- Some request;
      if not w.is_active then (
        w.is_active <- true;
        Soil.Task.Condition.signal w.wanted)

(* A check takes a turn of the scheduler, in which nothing else may read. *)
let rec await_check conn =
  if conn.is_checked then (
    Soil.Task.protect Soil.Task.yield;
    await_check conn)

let end_work conn =
  conn.working <- None;
  conn.seen <- None;
  await_check conn
