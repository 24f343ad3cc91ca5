module D = Soil.File_descriptor
module Budget = Soil.Budget

exception Late
exception Malformed
exception Too_long
exception Incomplete

type t = {
  flow : D.flow;
  mutable peer : Budget.t option; (* Who sends it. *)
  mutable payer : Budget.t option; (* For whom its bytes are counted. *)
  mutable is_patient : bool;
  mutable bytes : bytes;
  mutable first : int; (* Bytes [first … last - 1] are buffered. *)
  mutable last : int;
  mutable until : float; (* If negative, seconds from the beginning of the next wait. *)
  mutable failures : exn list; (* The last ones. *)
}

let size = 4096
let count t n = Option.iter (fun payer -> Budget.grow payer n) t.payer
let give_back t n = Option.iter (fun payer -> Budget.shrink payer n) t.payer

let unbuffered ?peer flow =
  {
    flow;
    peer;
    payer = peer;
    is_patient = false;
    bytes = Bytes.empty;
    first = 0;
    last = 0;
    until = infinity;
    failures = [];
  }

let create ?peer flow =
  let t = unbuffered ?peer flow in
  count t size;
  t.bytes <- Bytes.create size;
  t

let extra t = Bytes.length t.bytes - size

let charge t payer =
  give_back t (extra t);
  t.payer <- payer;
  count t (extra t)

let patiently t f =
  t.is_patient <- true;
  Fun.protect ~finally:(fun () -> t.is_patient <- false) f

let flow t = t.flow
let until t moment = t.until <- moment
let within t seconds = t.until <- -.seconds
let buffered t = t.last - t.first
let is_failure t e = List.memq e t.failures

(* Each direction may fail, in a task of its own. *)
let most_failures = 4

let failed t e =
  if not (is_failure t e) then
    t.failures <- e :: List.filteri (fun i _ -> i < most_failures - 1) t.failures

let guard t f =
  try f ()
  with e ->
    (match e with Soil.Task.Cancelled -> () | e -> failed t e);
    raise e

let in_time t f =
  if t.until = infinity then f ()
  else
    let now = Soil.Clock.monotonic () in
    if t.until < 0. then t.until <- now -. t.until;
    let left = t.until -. now in
    if left <= 0. then Soil_backtrace.raise Late
    else match Soil.Task.timeout_opt left f with Some n -> n | None -> Soil_backtrace.raise Late

let move_to t bytes =
  let n = buffered t in
  Bytes.blit t.bytes t.first bytes 0 n;
  t.bytes <- bytes;
  t.first <- 0;
  t.last <- n

let trim t =
  if extra t > 0 && buffered t <= size then (
    give_back t (extra t);
    move_to t (Bytes.create size))

(* Room behind what is buffered. *)
let make_room t =
  let n = buffered t in
  if n = 0 then (
    trim t;
    t.first <- 0;
    t.last <- 0)
  else if t.last = Bytes.length t.bytes then
    if 2 * n <= t.last then move_to t t.bytes
    else (
      count t t.last;
      move_to t (Bytes.create (2 * t.last)))

let progressed t = if not t.is_patient then Option.iter Budget.finished t.peer

let waiting t f =
  match t.peer with
  | Some peer when not t.is_patient -> Budget.awaiting peer f
  | Some _ | None -> f ()

let more t =
  make_room t;
  let n =
    guard t (fun () ->
        in_time t (fun () ->
            waiting t (fun () -> D.read t.flow t.bytes t.last (Bytes.length t.bytes - t.last))))
  in
  t.last <- t.last + n;
  n > 0

(* [wait seen]: there is no end of line in the first [seen] bytes. *)
let find_line t ~from ~max ~seen wait =
  let at = Scan.index t.bytes '\n' (t.first + seen) t.last in
  let length = at - t.first - from - 1 in
  if length > max then raise Too_long
  else if at < t.last then
    if length < 0 || Bytes.get t.bytes (at - 1) <> '\r' then raise Malformed else length
  else wait (buffered t)

let line_here t ~from ~max = find_line t ~from ~max ~seen:from (fun _ -> raise_notrace Incomplete)

let rec line_after t ~from ~max seen =
  find_line t ~from ~max ~seen (fun seen ->
      if more t then line_after t ~from ~max seen else Soil_backtrace.raise End_of_file)

let line ?(from = 0) t ~max = line_after t ~from ~max from
let get t i = Bytes.get t.bytes (t.first + i)
let index t c i n = Scan.index t.bytes c (t.first + i) (t.first + n) - t.first
let sub t off len = Bytes.sub_string t.bytes (t.first + off) len
let skip t n = t.first <- t.first + n
let skip_line t n = skip t (n + 2)
let consume t f = t.first <- t.first + f t.bytes t.first (buffered t)

let take t blit len =
  let n = min len (buffered t) in
  blit t.bytes t.first n;
  skip t n;
  n

let read t b off len =
  if buffered t > 0 then take t (fun bytes first n -> Bytes.blit bytes first b off n) len
  else guard t (fun () -> in_time t (fun () -> waiting t (fun () -> D.read t.flow b off len)))

let read_into t b off len =
  let blit bytes first n =
    for i = 0 to n - 1 do
      Bigarray.Array1.set b (off + i) (Bytes.get bytes (first + i))
    done
  in
  if buffered t > 0 then take t blit len
  else guard t (fun () -> in_time t (fun () -> waiting t (fun () -> D.read_into t.flow b off len)))

let duplex t =
  t.until <- infinity;
  t.peer <- None;
  Soil.Flow.make ~name:(D.name t.flow) ~read:(read t) ~read_into:(read_into t)
    ~write:(fun b off len -> guard t (fun () -> D.write_some t.flow b off len))
    ~shutdown:(fun how -> guard t (fun () -> D.shutdown t.flow how))
    ~close:(fun () -> D.close t.flow)
    ()
