type lease = { number : int; buffer : Pool.buffer; mutable out : bool }

let most = 1 lsl 20
let slice = 1 lsl 16

let ask (d : Descriptor.t) position len =
  let submit token = Soil_raw_files.file_lease d.handle position len token in
  Scheduler.operation ~operation:"read in place" ~subject:d.path submit

let check name ~position len =
  if position < 0 || len < 0 then invalid_arg ("Soil.In_place." ^ name ^ ": negative number")

let end_ number buffer = ignore (Soil_raw_files.file_lease_end number buffer)

let lease d ~position len =
  check "lease" ~position len;
  let number = if len = 0 then 0 else ask (Typed.any d) position (min len slice) in
  if number = 0 then None
  else
    let buffer = Pool.(sub empty 0 0) in
    ignore (Soil_raw_files.file_lease_next number buffer);
    Some { number; buffer; out = true }

let buffer lease = lease.buffer

let release lease =
  if lease.out then (
    lease.out <- false;
    end_ lease.number lease.buffer)

let with_lease d ~position len f =
  let use l = Failure.finally (fun () -> release l) (fun () -> f l.buffer) in
  Option.map use (lease d ~position len)

let iter ?(position = 0) ?(len = max_int) d f =
  check "iter" ~position len;
  let buffer = Pool.(sub empty 0 0) in
  let rec slices number seen =
    let n = Soil_raw_files.file_lease_next number buffer in
    if n <= 0 then seen
    else (
      f buffer;
      slices number (seen + n))
  in
  let rec leases position left =
    let number = if left = 0 then 0 else ask (Typed.any d) position (min left most) in
    if number > 0 then
      let seen = Failure.finally (fun () -> end_ number buffer) (fun () -> slices number 0) in
      leases (position + seen) (left - seen)
  in
  leases position len
