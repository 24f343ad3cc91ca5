let operation = Scheduler.operation
let check = Failure.check
let error = Failure.error
let text = Text.fetch
let cut = Text.cut
let print_error = Failure.print
let report = Failure.report
let recover e = ignore (Shortage.recover e)
let needed_display f = Needed.display := Some f
let needed_input f = Needed.input := Some f
let log_info = 3

let peer_failed d e =
  let d : Descriptor.t = Typed.any d in
  d.failure <- Descriptor.Of_peer e;
  let text = Failure.exception_to_string e in
  ignore (Soil_raw.log log_info text 0 (String.length text))

let would_wait d =
  let d : Descriptor.t = Typed.any d in
  if d.handle < 0 then None
  else if Descriptor.given_back d > 0 || not d.is_open then Some false
  else
    let b = Bytes.create 1 in
    let n = Soil_raw.fd_read d.handle b 0 1 in
    Descriptor.unread d b 0 (max n 0);
    Some (n = Soil_raw.would_block)

let write_at_once d b off len =
  let d : Descriptor.t = Typed.any d in
  if d.handle < 0 || Owner.is_other () then 0
  else (
    Scheduler.spend ();
    if Descriptor.is_busy d || not d.is_open then 0
    else
      let n = Soil_raw.fd_write d.handle b off len in
      if n > 0 then Scheduler.at_once "write" n else 0)

(* Empty until it is asked for. *)
type identifier = { mutable text : string }

let new_identifier () = { text = "" }

(* 128 random bits, as a trace has. *)
let text_of id =
  if id.text = "" then (
    let b = Buffer.create 32 in
    String.iter (fun c -> Printf.bprintf b "%02x" (Char.code c)) (Random.string 16);
    id.text <- Buffer.contents b);
  id.text

let set_identifier id text = id.text <- text
let request_id : identifier Task_local.t = Task_local.create ()

let current_request_id () =
  match if Owner.is_other () then None else Task_local.get request_id with
  | None -> None
  | Some id -> Some (text_of id)
  (* A domain without tasks. *)
  | exception Invalid_argument _ -> None

let finally = Failure.finally
let undoing = Failure.undoing

(* Howard Hinnant's civil_from_days. *)
let date days =
  let z = days + 719_468 in
  let era = (if z >= 0 then z else z - 146_096) / 146_097 in
  let of_era = z - (era * 146_097) in
  let year = (of_era - (of_era / 1460) + (of_era / 36_524) - (of_era / 146_096)) / 365 in
  let of_year = of_era - ((365 * year) + (year / 4) - (year / 100)) in
  let from_march = ((5 * of_year) + 2) / 153 in
  let day = of_year - (((153 * from_march) + 2) / 5) + 1 in
  let month = if from_march < 10 then from_march + 3 else from_march - 9 in
  ((year + (era * 400) + if month <= 2 then 1 else 0), month, day)

module Guard = Guard
module Mailbox = Mailbox
