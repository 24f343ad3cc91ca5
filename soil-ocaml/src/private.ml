let operation = Scheduler.operation
let check = Failure.check
let text = Text.fetch
let print_error = Failure.print
let report = Failure.report
let needed_display f = Needed.display := Some f
let needed_input f = Needed.input := Some f

let finally finish f =
  let v = Failure.undoing finish f in
  finish ();
  v
