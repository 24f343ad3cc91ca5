let operation = Scheduler.operation
let check = Failure.check
let text = Text.fetch
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

let finally = Failure.finally
let undoing = Failure.undoing

module Mailbox = Mailbox
