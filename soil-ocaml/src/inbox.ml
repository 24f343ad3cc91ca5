type item = { f : unit -> unit; mutable next : item }

(* [last] is the submission before which [take] stops: nothing is ever after it. *)
type t = {
  scope : Task.scope;
  mutable first : item;
  mutable last : item;
  mutable token : int;  (** Of the event that is awaited, or was. *)
  mutable is_open : bool;
}

let rec no_item = { f = ignore; next = no_item }
let is_empty inbox = inbox.first == no_item

(* OCaml changes threads in neither of these two (Threads). *)

let add inbox item =
  if is_empty inbox then inbox.first <- item else inbox.last.next <- item;
  inbox.last <- item

let take inbox =
  let item = inbox.first in
  inbox.first <- item.next;
  item

let rec spawn_all inbox =
  if not (is_empty inbox) then (
    ignore (Task.spawn inbox.scope (take inbox).f);
    spawn_all inbox)

let rec serve inbox =
  let await token =
    let result = Soil_raw_threads.event token in
    inbox.token <- token;
    (* What was submitted before found no event to set. *)
    if not (is_empty inbox) then ignore (Soil_raw_threads.event_set token);
    result
  in
  ignore (Scheduler.operation ~operation:"inbox" ~subject:"" await);
  spawn_all inbox;
  serve inbox

let create scope =
  let inbox = { scope; first = no_item; last = no_item; token = 0; is_open = false } in
  let work () =
    inbox.is_open <- true;
    match serve inbox with
    | () -> ()
    | exception e ->
        let backtrace = Failure.get_backtrace () in
        inbox.is_open <- false;
        spawn_all inbox;
        Failure.raise_with_backtrace e backtrace
  in
  ignore (Task.spawn_daemon scope work);
  (* A daemon that is cancelled before its first turn never runs. *)
  Task.yield ();
  inbox

let submit inbox f =
  Owner.check_domain ();
  let item = { f; next = no_item } in
  if not inbox.is_open then invalid_arg "Soil.Inbox.submit: the scope of the inbox has ended";
  add inbox item;
  if inbox.token <> 0 then ignore (Soil_raw_threads.event_set inbox.token)
