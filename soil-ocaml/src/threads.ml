(* OCaml changes threads where memory is taken, in loops and in calls that block, never between. What
   threads share is changed without any of these. *)

(* The result of a wait that was given up at a limit; no operation has it. *)
let interrupted = min_int
let never = -1

(* Tokens that are free again. *)

type token = { number : int; mutable next : token }

let rec none = { number = 0; next = none }
let free = ref none
let made = ref 0

let take_token () =
  let token = !free in
  if token == none then (
    let number = Soil_raw.first_token_of_threads + !made in
    incr made;
    { number; next = none })
  else (
    free := token.next;
    token)

let release token =
  token.next <- !free;
  free := token

(* Moments from which on the waits of a thread are interrupted, in a ring, the latest added last. A
   shield ends the search. One that was removed keeps its place for a search that stands on it. *)

type limit = { thread : int; at : int; mutable previous : limit; mutable after : limit }

let rec limits = { thread = 0; at = 0; previous = limits; after = limits }
let shielded = max_int

let remove limit =
  limit.previous.after <- limit.after;
  limit.after.previous <- limit.previous

let rec earliest thread limit at =
  if limit == limits then at
  else if limit.thread <> thread then earliest thread limit.previous at
  else if limit.at = shielded then at
  else earliest thread limit.previous (min at limit.at)

(* The moment at which the current thread's wait until [at] ends. *)
let limited at =
  if limits.previous == limits then at else earliest (Soil_raw.thread ()) limits.previous at

let is_late () =
  let at = limited max_int in
  at < max_int && Soil_raw.clock_monotonic_ns () >= at

let limit at f =
  let limit = { thread = Soil_raw.thread (); at; previous = limits; after = limits } in
  let over () = remove limit in
  limit.previous <- limits.previous;
  limits.previous.after <- limit;
  limits.previous <- limit;
  Failure.finally over f

(* Waits *)

let moment at = if at = max_int then never else max 1 at

(* A signal's handler runs, and may raise, between two calls of [await]. *)
let rec completion token =
  let result = Soil_raw.await token never in
  if result = Soil_raw.pending then completion token else result

(* The result of an operation that isn't waited for any more; a device may use its buffer until it
   has one. *)
let rec take_back token =
  if Soil_raw.cancel token = 1 then interrupted
  else match completion token with result -> result | exception _ -> take_back token

let rec wait token =
  let at = limited max_int in
  let result = Soil_raw.await token (moment at) in
  if result <> Soil_raw.pending then result
  else if at < max_int && Soil_raw.clock_monotonic_ns () >= at then take_back token
  else wait token

let wait token = Failure.undoing (fun () -> ignore (take_back token)) (fun () -> wait token)

(* [f] with a token of its own. *)
let with_token f =
  let token = take_token () in
  Failure.finally (fun () -> release token) (fun () -> f token.number)

let operation ~operation ~subject submit =
  with_token @@ fun token ->
  let result = submit token in
  if result <> Soil_raw.pending then Failure.check ~operation ~subject result
  else
    let result = wait token in
    if result >= 0 then result
    else
      let detail = Failure.detail_of token in
      if result = interrupted || (Failure.code result = Cancelled && is_late ()) then
        Scheduler.cancelled ()
      else Failure.fail_with ~operation ~subject ~detail result

let wait_ready handle direction =
  with_token @@ fun token ->
  let result = Soil_raw.fd_park handle direction token in
  if result <> Soil_raw.pending then result
  else if
    (* If it failed, the next try returns the reason. *)
    wait token = interrupted
  then Scheduler.cancelled ()
  else 0

let sleep_until at =
  let rec sleep token =
    let limit = limited max_int in
    ignore (Soil_raw.await token (moment (min at limit)));
    let now = Soil_raw.clock_monotonic_ns () in
    if now >= limit then Scheduler.cancelled () else if now < at then sleep token
  in
  with_token sleep

let timeout at f =
  match limit at f with
  | v -> Some v
  | exception Scheduler.Cancelled when Soil_raw.clock_monotonic_ns () >= at && not (is_late ()) ->
      None

let protect f = limit shielded f

let register () =
  ignore (Soil_raw.expect_threads ());
  Blocking.registered := Some { operation; wait_ready; sleep_until; timeout; protect };
  Turns.register ()
