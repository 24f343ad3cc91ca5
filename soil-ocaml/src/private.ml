let operation = Scheduler.operation
let check = Failure.check
let text = Text.fetch
let print_error = Failure.print
let report = Failure.report
let needed_display f = Needed.display := Some f
let needed_input f = Needed.input := Some f
let log_info = 3

let peer_failed d e =
  let d : Descriptor.t = Typed.any d in
  d.failure <- Descriptor.Of_peer e;
  let text = Failure.exception_to_string e in
  ignore (Soil_raw.log log_info text 0 (String.length text))

let finally finish f =
  let v = Failure.undoing finish f in
  finish ();
  v

module Mailbox = Mailbox
