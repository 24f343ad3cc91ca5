let operation = Scheduler.operation
let check = Failure.check
let text = Text.fetch

let finally finish f =
  let v = Failure.undoing finish f in
  finish ();
  v
