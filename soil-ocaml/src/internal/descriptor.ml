exception Of_peer of exn

type state = ..
type side = [ `Receive | `Send | `Both ]

type t = {
  handle : int;
  io : io;
  mutable path : string;
  mutable is_open : bool;
  mutable back : bytes;
  mutable taken : int;
  mutable failure : exn;
  mutable writer : Scheduler.fiber;
  mutable writers : Scheduler.fiber Waiters.t;
  mutable thread : int;
  mutable turns : turns;
  mutable wait : int -> int -> int;
}

and turns = { take : t -> Scheduler.fiber -> int -> unit; next : t -> unit }

and io = {
  read : t -> bytes -> int -> int -> int;
  read_into : t -> Pool.buffer -> int -> int -> int;
  write : t -> bytes -> int -> int -> int;
  write_from : t -> Pool.buffer -> int -> int -> int;
  unread : t -> bytes -> int -> int -> unit;
  shutdown : t -> side -> unit;
  close : (t -> unit) option;
  describe : t -> string;
  state : state option;
}

(* The queue of descriptors that never needed one. *)
let no_queue : Scheduler.fiber Waiters.t = Waiters.create ()
let no_thread = 0

(* Tasks wait in [writers], in which only their own thread wakes them. *)
let turns_of_tasks =
  let take d _ _ =
    if d.writers == no_queue then d.writers <- Waiters.create ();
    (* [end_task] hands over. *)
    Scheduler.wait_in d.writers
  in
  { take; next = ignore }

let make ?(path = "") io handle =
  {
    handle;
    io;
    path;
    is_open = true;
    back = Bytes.empty;
    taken = 0;
    failure = Not_found;
    writer = Scheduler.no_fiber;
    writers = no_queue;
    thread = no_thread;
    turns = turns_of_tasks;
    wait = Scheduler.wait_ready;
  }

let fail d operation result =
  let e = Failure.error ~operation ~subject:(d.io.describe d) result in
  d.failure <- e;
  Soil_backtrace.raise e

let retry d operation direction result =
  if result = Soil_raw.would_block then (
    let result = d.wait d.handle direction in
    if result < 0 then fail d operation result)
  else fail d operation result

let rec attempt d operation direction f =
  Scheduler.spend ();
  let n = f () in
  if n >= 0 then Scheduler.at_once operation n
  else (
    retry d operation direction n;
    attempt d operation direction f)

let rec finish ~operation ~subject handle direction poll =
  let result = poll handle in
  if result = Soil_raw.would_block then (
    let result = Scheduler.wait_ready handle direction in
    ignore (Failure.check ~operation ~subject result);
    finish ~operation ~subject handle direction poll)
  else ignore (Failure.check ~operation ~subject result)

(* Bytes that were given back are read first. *)

let given_back d = Bytes.length d.back - d.taken

let forget d =
  d.back <- Bytes.empty;
  d.taken <- 0

let take_back d copy len =
  let n = min len (given_back d) in
  copy d.back d.taken n;
  d.taken <- d.taken + n;
  if given_back d = 0 then forget d;
  n

let unread d b off len =
  if len > 0 && d.is_open then (
    let rest = given_back d in
    let joined = Bytes.create (len + rest) in
    Bytes.blit b off joined 0 len;
    Bytes.blit d.back d.taken joined len rest;
    d.back <- joined;
    d.taken <- 0)

(* Takes nothing: bytes that are read here join those that were given back. *)
let peek d b off len =
  let given = given_back d in
  if given = 0 then (
    let n = d.io.read d b off len in
    d.io.unread d b off n;
    n)
  else (
    (if given < len then
       let more = Bytes.create (len - given) in
       let n = Soil_raw.fd_read d.handle more 0 (len - given) in
       if n > 0 then (
         d.back <- Bytes.cat (Bytes.sub d.back d.taken given) (Bytes.sub more 0 n);
         d.taken <- 0));
    let n = min len (given_back d) in
    Bytes.blit d.back d.taken b off n;
    n)

(* Each yields, if it has to, before it moves bytes, so that a cancellation loses none. *)

let rec read_by take blit d b off len =
  Scheduler.spend ();
  if given_back d > 0 then take_back d (fun back at n -> blit back at b off n) len
  else
    let n = take d.handle b off len in
    if n >= 0 then Scheduler.at_once "read" n
    else (
      retry d "read" Soil_raw.park_read n;
      read_by take blit d b off len)

let rec write_by give d b off len =
  Scheduler.spend ();
  let n = give d.handle b off len in
  if n >= 0 then Scheduler.at_once "write" n
  else (
    retry d "write" Soil_raw.park_write n;
    write_by give d b off len)

let shutdown d side =
  let how = match side with `Receive -> 0 | `Send -> 1 | `Both -> 2 in
  let result = Soil_raw.fd_shutdown d.handle how in
  if result < 0 then fail d "shutdown" result

let close_handle d = ignore (Soil_raw.fd_close d.handle)

let stream_io ?(close = close_handle) describe =
  {
    read = read_by (fun handle b off len -> Soil_raw.fd_read handle b off len) Bytes.blit;
    read_into =
      read_by (fun handle b off len -> Soil_raw.fd_read_buffer handle b off len) Pool.of_bytes;
    write = write_by (fun handle b off len -> Soil_raw.fd_write handle b off len);
    write_from = write_by (fun handle b off len -> Soil_raw.fd_write_buffer handle b off len);
    unread;
    shutdown;
    close = Some close;
    describe;
    state = None;
  }

(* The types of descriptors keep programs from calling these. *)

let impossible _ _ _ _ = assert false
let no_shutdown _ _ = assert false

let no_io describe =
  {
    read = impossible;
    read_into = impossible;
    write = impossible;
    write_from = impossible;
    unread = impossible;
    shutdown = no_shutdown;
    close = Some close_handle;
    describe;
    state = None;
  }

(* Writing. A descriptor's writer is a task, or a thread outside of [run]. Once another thread than
   the first has written, all that write wait in turns of threads. Whatever a thread may change
   between two others' steps is changed where OCaml doesn't change threads (Threads). *)

let is_busy d =
  d.thread <> no_thread || not (d.writer == Scheduler.no_fiber || Scheduler.is_over d.writer)

let claim d fiber thread =
  d.writer <- fiber;
  d.thread <- thread

let begin_writing d fiber thread =
  if is_busy d then d.turns.take d fiber thread else claim d fiber thread

let end_writing d =
  claim d Scheduler.no_fiber no_thread;
  d.turns.next d

(* The writers' tasks go first: they came before the first other thread. *)
let end_task d =
  match Scheduler.wake_first d.writers with
  | Some fiber -> d.writer <- fiber
  | None -> end_writing d

let exclusively_in_thread d f =
  let thread = Soil_raw.thread () in
  if d.thread = thread then f ()
  else (
    begin_writing d Scheduler.no_fiber thread;
    Failure.finally (fun () -> end_writing d) f)

let turns_of_threads = ref Blocking.missing

let exclusively d f =
  if Owner.is_other () then (
    (if d.turns == turns_of_tasks then
       let turns = !turns_of_threads () in
       if d.turns == turns_of_tasks then d.turns <- turns);
    exclusively_in_thread d f)
  else
    let self = Scheduler.self () in
    if self == Scheduler.no_fiber then exclusively_in_thread d f
    else if d.writer == self then f ()
    else (
      begin_writing d self no_thread;
      Failure.finally (fun () -> end_task d) f)

let close d =
  Owner.check_domain ();
  match d.io.close with
  | Some close when d.is_open ->
      d.is_open <- false;
      forget d;
      close d
  | Some _ | None -> ()

let closed_on_failure d f = Failure.undoing (fun () -> close d) f

let closing d f =
  let result = closed_on_failure d (fun () -> f d) in
  close d;
  result

let out_of_range operation = invalid_arg ("Soil: " ^ operation ^ ": not a range of the buffer")

let check_bytes operation b off len =
  if off < 0 || len < 0 || off > Bytes.length b - len then out_of_range operation

let check_buffer operation b off len =
  if off < 0 || len < 0 || off > Bigarray.Array1.dim b - len then out_of_range operation

(* Reading on *)

let rec fill read len got =
  if !got < len then (
    let n = read !got (len - !got) in
    if n = 0 then Soil_backtrace.raise End_of_file;
    got := !got + n;
    fill read len got)

let too_large operation subject max =
  let detail = "more than " ^ string_of_int max ^ " bytes" in
  Error.fail Too_large operation ~subject ~detail

(* A size on a disk may be any. *)
let buffer operation subject n =
  match Bytes.create n with
  | b -> b
  | exception (Stdlib.Out_of_memory | Invalid_argument _) ->
      Error.fail Out_of_memory operation ~subject
        ~detail:("no memory for " ^ string_of_int n ^ " bytes")

let default_max = 16 * 1024 * 1024

let read_to_end max ~already ~undo d =
  let piece = Bytes.create 16384 in
  let pieces = ref [ already ] and length = ref (Bytes.length already) in
  let joined () = Bytes.concat Bytes.empty (List.rev !pieces) in
  let rec go () =
    if !length > max then too_large "read" (d.io.describe d) max;
    let n = d.io.read d piece 0 (Bytes.length piece) in
    if n > 0 then (
      pieces := Bytes.sub piece 0 n :: !pieces;
      length := !length + n;
      go ())
  in
  Failure.undoing (fun () -> undo (joined ())) go;
  Bytes.unsafe_to_string (joined ())
