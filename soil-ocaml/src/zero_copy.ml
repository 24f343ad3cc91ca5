type lease = { number : int; buffer : Pool.buffer; mutable out : bool }

external sub : Pool.buffer -> int -> int -> Pool.buffer = "caml_ba_sub"

(* Those of leases are parts of it, so that they have no memory of their own to be freed. *)
let empty = Pool.create 0

let rec next (d : Descriptor.t) =
  let buffer = sub empty 0 0 in
  let number = Soil_raw_zero_copy.tcp_lease d.handle buffer in
  if number > 0 then (
    Scheduler.spend ();
    Some { number; buffer; out = true })
  else if number = 0 then None
  else (
    Descriptor.retry d "receive" Soil_raw.park_read number;
    next d)

let receive ?timeout d =
  Descriptor.need Tcp d "receive";
  Deadline.within timeout (fun () -> next d)

let buffer lease = lease.buffer

let release lease =
  if lease.out then (
    lease.out <- false;
    ignore (Soil_raw_zero_copy.tcp_lease_end lease.number lease.buffer))

let with_received ?timeout d f =
  match receive ?timeout d with
  | None -> None
  | Some lease -> (
      match f lease.buffer with
      | v ->
          release lease;
          Some v
      | exception e ->
          let backtrace = Failure.get_backtrace () in
          release lease;
          Failure.raise_with_backtrace e backtrace)

let send ?timeout (d : Descriptor.t) b off len =
  Descriptor.need Tcp d "send";
  Descriptor.check_buffer "Zero_copy.send" b off len;
  let submit token = Soil_raw_zero_copy.tcp_send_shared d.handle b off len token in
  let subject = d.io.describe d in
  let send () = ignore (Scheduler.operation ~operation:"send" ~subject submit) in
  Deadline.within timeout send
