type kind = Console | Pipe | Tcp | File | Listener | Udp | Directory | Block | Ethernet

type t = { handle : int; kind : kind; io : io; path : string; mutable is_open : bool }

and io = {
  read : t -> bytes -> int -> int -> int;
  read_into : t -> Pool.buffer -> int -> int -> int;
  write : t -> bytes -> int -> int -> int;
  write_from : t -> Pool.buffer -> int -> int -> int;
  describe : t -> string;
}

let make ?(path = "") io kind handle = { handle; kind; io; path; is_open = true }
let fail d operation result = Failure.fail ~operation ~subject:(d.io.describe d) result
let wrong_kind d operation = Error.fail Wrong_kind operation ~subject:(d.io.describe d)
let need kind d operation = if d.kind <> kind then wrong_kind d operation

let retry d operation direction result =
  if result = Soil_raw.would_block then (
    let result = Scheduler.wait_ready d.handle direction in
    if result < 0 then fail d operation result)
  else fail d operation result

let rec read d b off len =
  let n = Soil_raw.fd_read d.handle b off len in
  if n >= 0 then (
    Scheduler.spend ();
    n)
  else (
    retry d "read" Soil_raw.park_read n;
    read d b off len)

let rec read_into d b off len =
  let n = Soil_raw.fd_read_buffer d.handle b off len in
  if n >= 0 then (
    Scheduler.spend ();
    n)
  else (
    retry d "read" Soil_raw.park_read n;
    read_into d b off len)

let rec write d b off len =
  let n = Soil_raw.fd_write d.handle b off len in
  if n >= 0 then (
    Scheduler.spend ();
    n)
  else (
    retry d "write" Soil_raw.park_write n;
    write d b off len)

let rec write_from d b off len =
  let n = Soil_raw.fd_write_buffer d.handle b off len in
  if n >= 0 then (
    Scheduler.spend ();
    n)
  else (
    retry d "write" Soil_raw.park_write n;
    write_from d b off len)

let stream_io describe = { read; read_into; write; write_from; describe }

let no_io describe =
  {
    read = (fun d _ _ _ -> wrong_kind d "read");
    read_into = (fun d _ _ _ -> wrong_kind d "read");
    write = (fun d _ _ _ -> wrong_kind d "write");
    write_from = (fun d _ _ _ -> wrong_kind d "write");
    describe;
  }

let close d =
  if d.is_open && d.kind <> Console then (
    d.is_open <- false;
    ignore (Soil_raw.fd_close d.handle))

let closing d f =
  match f d with
  | v ->
      close d;
      v
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      close d;
      Failure.raise_with_backtrace e backtrace

let out_of_range operation = invalid_arg ("Soil: " ^ operation ^ ": not a range of the buffer")

let check_bytes operation b off len =
  if off < 0 || len < 0 || off > Bytes.length b - len then out_of_range operation

let check_buffer operation b off len =
  if off < 0 || len < 0 || off > Bigarray.Array1.dim b - len then out_of_range operation
