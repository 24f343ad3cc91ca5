(* The values, the youngest first. Changed by compare-and-set: threads of other domains do so at the
   same time. *)
type 'a state = Open of 'a list | Closed

type 'a t = {
  state : 'a state Atomic.t;
  token : int Atomic.t;  (** Of the event that is awaited, or was; 0 before the first. *)
  mutable taken : 'a list;  (** The oldest first; the task's. *)
}

let create () = { state = Atomic.make (Open []); token = Atomic.make 0; taken = [] }

let set_event mailbox =
  let token = Atomic.get mailbox.token in
  if token <> 0 then ignore (Soil_raw.event_set token)

let rec put mailbox v =
  match Atomic.get mailbox.state with
  | Closed -> false
  | Open values as before ->
      if Atomic.compare_and_set mailbox.state before (Open (v :: values)) then (
        set_event mailbox;
        true)
      else put mailbox v

let rec replace mailbox after =
  match Atomic.get mailbox.state with
  | Closed -> []
  | Open values as before ->
      if Atomic.compare_and_set mailbox.state before after then List.rev values
      else replace mailbox after

let close mailbox =
  let taken = mailbox.taken in
  List.rev_append (List.rev taken) (replace mailbox Closed)

let is_empty mailbox = match Atomic.get mailbox.state with Open (_ :: _) -> false | _ -> true

let rec take mailbox ~operation =
  match mailbox.taken with
  | v :: rest ->
      mailbox.taken <- rest;
      v
  | [] ->
      (if is_empty mailbox then
         let await token =
           let result = Soil_raw.event token in
           Atomic.set mailbox.token token;
           (* What was added before found no event to set. *)
           if not (is_empty mailbox) then set_event mailbox;
           result
         in
         ignore (Scheduler.operation ~operation ~subject:"" await));
      mailbox.taken <- replace mailbox (Open []);
      take mailbox ~operation
