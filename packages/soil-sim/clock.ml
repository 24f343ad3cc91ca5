type t = {
  mutable since : int;  (** The virtual time of the last change of [ppm]. *)
  mutable at : int;  (** The monotonic time then. *)
  mutable ppm : int;
  mutable offset : int;  (** Of the wall clock from the monotonic one. *)
}

(* Machines don't start at 0. *)
let first = 1_000_000_000
let epoch = 1_735_689_600_000_000_000
let create () = { since = 0; at = first; ppm = 0; offset = epoch - first }
let million = 1_000_000

let monotonic c now =
  let passed = now - c.since in
  c.at + passed + (passed / million * c.ppm)

let wall c now = monotonic c now + c.offset

let time_of c monotonic =
  let passed = monotonic - c.at in
  (* Rounded up by less than two steps of [monotonic]. *)
  let time = c.since + passed - (passed / (million + c.ppm) * c.ppm) in
  if c.ppm = 0 then time else time + (2 * million)

let step c ns = c.offset <- c.offset + ns

let drift c ~now ppm =
  c.at <- monotonic c now;
  c.since <- now;
  c.ppm <- ppm
