(* Number 0: the program's own memory, with bytes that were given back to the descriptor. *)
type lease = { number : int; mutable buffer : Pool.buffer; mutable out : bool }

let rec next (d : Descriptor.t) =
  Scheduler.spend ();
  let n = min (Descriptor.given_back d) Pool.size in
  if n > 0 then (
    let buffer = Pool.create n in
    ignore (Descriptor.take_back d (fun back at n -> Pool.of_bytes back at buffer 0 n) n);
    Some { number = 0; buffer; out = true })
  else
    let buffer = Pool.(sub empty 0 0) in
    let number = Soil_raw_tcp.tcp_lease d.handle buffer in
    if number > 0 then Some { number = Scheduler.at_once "receive" number; buffer; out = true }
    else if number = 0 then None
    else (
      Descriptor.retry d "receive" Soil_raw.park_read number;
      next d)

let receive ?timeout c = Deadline.within timeout (fun () -> next (Typed.any c))
let buffer lease = lease.buffer

let release lease =
  if lease.out then (
    lease.out <- false;
    if lease.number = 0 then lease.buffer <- Pool.empty
    else ignore (Soil_raw_tcp.tcp_lease_end lease.number lease.buffer))

let with_received ?timeout d f =
  let use lease = Failure.finally (fun () -> release lease) (fun () -> f lease.buffer) in
  Option.map use (receive ?timeout d)

let send ?timeout c b off len =
  let d = Typed.any c in
  Descriptor.check_buffer "Zero_copy.send" b off len;
  let submit token = Soil_raw_tcp.tcp_send_shared d.handle b off len token in
  let subject = d.io.describe d in
  let send () =
    match Scheduler.operation ~operation:"send" ~subject submit with
    | _ -> ()
    | exception e ->
        let backtrace = Failure.get_backtrace () in
        d.failure <- e;
        Soil_backtrace.reraise e backtrace
  in
  Deadline.within timeout send
