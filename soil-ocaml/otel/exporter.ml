module T = Soil.Task
module Client = Soil_http.Client

type signal = Traces | Metrics | Logs

let default_limits : Limits.t =
  {
    attributes = 64;
    events = 64;
    value_bytes = 4096;
    max_items = 4096;
    max_bytes = 1 lsl 22;
    batch_items = 512;
    batch_bytes = 1 lsl 19;
    seconds = 5.;
    metrics_seconds = 60.;
    request_seconds = 10.;
    retry_seconds = 60.;
    grace = 2.;
  }

type item = { scope : string; text : string }

type queue = {
  signal : signal;
  uri : Uri.t;
  items : item list Atomic.t; (* The newest first. *)
  waiting : int Atomic.t; (* The number of [items]. *)
  exported : int Atomic.t;
  dropped : int Atomic.t;
  wake : T.Condition.t;
  is_closed : bool Atomic.t; (* Nothing sends any more. *)
  mutable is_failing : bool;
}

type t = {
  limits : Limits.t;
  client : Client.t;
  headers : Cohttp.Header.t;
  resource : string;
  queues : queue list;
  held_items : int Atomic.t; (* Of all queues, and of the batches under way. *)
  held_bytes : int Atomic.t;
  inbox : Soil.Inbox.t;
  over : unit T.Promise.t; (* The program's tasks have ended. *)
  mutable collectors : (unit -> unit) list;
  on_failure : string -> unit;
}

let queue t signal = List.find (fun q -> q.signal = signal) t.queues
let is_over t = T.Promise.peek t.over <> None
let change counter n = ignore (Atomic.fetch_and_add counter n)

(* Adding, in any thread of any domain *)

let item_bytes = 64
let size item = String.length item.text + String.length item.scope + item_bytes

let give_back t items =
  change t.held_items (-List.length items);
  change t.held_bytes (-List.fold_left (fun n item -> n + size item) 0 items)

let rec push q item =
  let items = Atomic.get q.items in
  if not (Atomic.compare_and_set q.items items (item :: items)) then push q item

let wake t q =
  try Soil.Inbox.post t.inbox (fun () -> T.Condition.signal q.wake)
  with Invalid_argument _ -> (* The scope has ended. *) ()

let add t signal ~scope text =
  let q = queue t signal and item = { scope; text } in
  let n = size item in
  let items = Atomic.fetch_and_add t.held_items 1 in
  let bytes = Atomic.fetch_and_add t.held_bytes n in
  if items >= t.limits.max_items || bytes + n > t.limits.max_bytes || Atomic.get q.is_closed then (
    give_back t [ item ];
    Atomic.incr q.dropped)
  else (
    push q item;
    let waiting = 1 + Atomic.fetch_and_add q.waiting 1 and half = t.limits.max_bytes / 2 in
    let is_due = waiting = t.limits.batch_items || (bytes < half && bytes + n >= half) in
    if is_due && q.signal <> Metrics then wake t q)

(* Batches *)

let names = function
  | Traces -> ("traces", "resourceSpans", "scopeSpans", "spans")
  | Metrics -> ("metrics", "resourceMetrics", "scopeMetrics", "metrics")
  | Logs -> ("logs", "resourceLogs", "scopeLogs", "logRecords")

(* Items that follow each other with the same scope are one list. *)
let rec by_scope = function
  | [] -> []
  | item :: rest -> (
      match by_scope rest with
      | (scope, items) :: others when scope = item.scope -> (scope, item :: items) :: others
      | others -> (item.scope, [ item ]) :: others)

let body t q items =
  let _, of_resource, of_scope, records = names q.signal in
  let group (scope, items) =
    Json.record
      [
        ("scope", Json.record [ ("name", Json.string scope) ]);
        (records, Json.list (List.map (fun item -> Json.raw item.text) items));
      ]
  in
  let groups = Json.list (List.map group (by_scope items)) in
  let resource = Json.record [ ("resource", Json.raw t.resource); (of_scope, groups) ] in
  Json.to_string (Json.record [ (of_resource, Json.list [ resource ]) ])

let rec split t items bytes = function
  | item :: rest
    when items = 0 || (items < t.limits.batch_items && bytes + size item <= t.limits.batch_bytes) ->
      let batch, others = split t (items + 1) (bytes + size item) rest in
      (item :: batch, others)
  | others -> ([], others)

(* Requests *)

(* [Taken n]: [n] of the items were rejected. [Again (reason, seconds)]: after so many seconds. *)
type answer = Taken of int | Again of string * float option | Refused of string

(* [partialSuccess] has one number, in digits or as a string, such as [rejectedSpans]. *)
let rejected text =
  let name = "\"rejected" in
  let n = String.length text in
  let rec find i =
    if i + String.length name > n then None
    else if String.sub text i (String.length name) = name then String.index_from_opt text i ':'
    else find (i + 1)
  in
  let is_digit c = c >= '0' && c <= '9' in
  let rec digits i = if i < n && is_digit text.[i] then digits (i + 1) else i in
  let rec start i = if i < n && (text.[i] = ' ' || text.[i] = '"') then start (i + 1) else i in
  match find 0 with
  | None -> 0
  | Some colon ->
      let from = start (colon + 1) in
      Option.value ~default:0 (int_of_string_opt (String.sub text from (digits from - from)))

let retry_after headers =
  Option.bind (Cohttp.Header.get headers "retry-after") @@ fun text ->
  match float_of_string_opt text with
  | Some seconds -> Some seconds
  | None -> Option.map (fun time -> time -. Soil.Clock.now ()) (Soil_http.Date.of_string text)

(* What a task that isn't cancelled goes on after. *)
let reason_of = function
  | T.Cancelled -> Soil_backtrace.raise T.Cancelled
  | e ->
      Soil.Private.recover e;
      Printexc.to_string e

let response_bytes = 65536

(* The status decides: what a collector has taken isn't sent again when the rest of its response
   fails. *)
let post t q body =
  let known = ref None in
  let judge (response : Cohttp.Response.t) source =
    let status = Cohttp.Code.string_of_status response.status in
    match Cohttp.Code.code_of_status response.status with
    | code when code >= 200 && code < 300 ->
        known := Some (Taken 0);
        let text = Soil.File_descriptor.read_all ~max:response_bytes source in
        known := Some (Taken (rejected text))
    | 429 | 502 | 503 | 504 -> known := Some (Again (status, retry_after response.headers))
    | _ -> known := Some (Refused status)
  in
  let request () =
    Client.request ~headers:t.headers ~body:(String body) t.client `POST q.uri judge
  in
  let failure =
    match T.timeout_opt t.limits.request_seconds request with
    | Some () | None -> Again ("no response in time", None)
    | exception (Soil.Error error as e) ->
        Soil.Private.recover e;
        Again (Soil.Error.to_string error, None)
    | exception Client.Failed (_, ((Malformed | Truncated | Too_slow) as problem)) ->
        Again (Client.problem_to_string problem, None)
    | exception Client.Failed (_, problem) -> Refused (Client.problem_to_string problem)
    | exception e -> Refused (reason_of e)
  in
  Option.value !known ~default:failure

let first_delay = 1.
let longest_delay = 30.

(* The end of the program's work cuts it short: what is left has the grace period only. *)
let pause t seconds =
  if is_over t then Soil.Clock.sleep seconds
  else ignore (T.timeout_opt seconds (fun () -> T.Promise.await t.over))

(* How many of [n] items were lost, and why. *)
let rec deliver t q body n ~until ~delay =
  match post t q body with
  | Taken 0 -> (0, "")
  | Taken rejected -> (min n rejected, "the collector has rejected some")
  | Refused reason -> (n, reason)
  | Again (reason, after) ->
      let jittered = delay *. (0.5 +. (float_of_int (Soil.Random.int 1000) /. 1000.)) in
      let seconds =
        match after with
        | Some seconds when seconds > 0. -> Float.min seconds longest_delay
        | Some _ | None -> jittered
      in
      if Soil.Clock.monotonic () +. seconds > until then (n, reason)
      else (
        pause t seconds;
        deliver t q body n ~until ~delay:(Float.min longest_delay (2. *. delay)))

let report t q lost reason =
  if lost > 0 && not q.is_failing then
    t.on_failure
      (Printf.sprintf
         "otel: POST %s: %s: %d items were lost. Does a collector of OTLP/HTTP listen there?"
         (Uri.to_string (Uri.with_userinfo q.uri None))
         reason lost);
  q.is_failing <- lost > 0

let send t q items =
  let n = List.length items in
  let lost = ref n in
  let finish () =
    give_back t items;
    change q.dropped !lost;
    change q.exported (n - !lost)
  in
  Soil.Private.finally finish @@ fun () ->
  let until = Soil.Clock.monotonic () +. t.limits.retry_seconds in
  let failed, reason =
    try deliver t q (body t q items) n ~until ~delay:first_delay with e -> (n, reason_of e)
  in
  lost := failed;
  report t q failed reason

let take q =
  let items = Atomic.exchange q.items [] in
  change q.waiting (-List.length items);
  List.rev items

let lose t q items =
  give_back t items;
  change q.dropped (List.length items)

let send_all t q =
  let left = ref (take q) in
  Soil.Private.finally (fun () -> lose t q !left) @@ fun () ->
  while !left <> [] do
    let batch, others = split t 0 0 !left in
    left := others;
    send t q batch
  done

(* Tasks *)

let collect t =
  let one collector = try collector () with e -> t.on_failure ("otel: " ^ reason_of e) in
  List.iter one (List.rev t.collectors)

let rec work t q =
  let seconds = if q.signal = Metrics then t.limits.metrics_seconds else t.limits.seconds in
  let wait () = if not (is_over t) then T.Condition.wait_no_mutex q.wake in
  if not (is_over t || Atomic.get q.waiting >= t.limits.batch_items) then
    ignore (T.timeout_opt seconds wait);
  let is_last = is_over t in
  if q.signal = Metrics then collect t;
  send_all t q;
  if not is_last then work t q

(* Not cancelled with the scope, but a while after it. *)
let run t q () =
  T.protect @@ fun () ->
  let late () =
    T.Promise.await t.over;
    Soil.Clock.sleep t.limits.grace
  in
  let close () =
    Atomic.set q.is_closed true;
    lose t q (take q)
  in
  Soil.Private.finally close @@ fun () -> T.first [ (fun () -> work t q); late ]

let stop t =
  T.Promise.fulfil t.over ();
  List.iter (fun q -> T.Condition.signal q.wake) t.queues

let check (limits : Limits.t) =
  let at_least_1 =
    [
      limits.attributes;
      limits.events;
      limits.value_bytes;
      limits.max_items;
      limits.max_bytes;
      limits.batch_items;
      limits.batch_bytes;
    ]
  and positive =
    [ limits.seconds; limits.metrics_seconds; limits.request_seconds; limits.retry_seconds ]
  in
  if
    List.exists (fun n -> n < 1) at_least_1
    || (not (limits.grace >= 0.))
    || not (List.for_all (fun seconds -> seconds > 0.) positive)
  then invalid_arg "Soil_otel.start: a limit isn't positive"

let create ~limits ~client ~uri ~headers ~resource ~on_failure scope =
  check limits;
  let queue signal =
    let path, _, _, _ = names signal in
    {
      signal;
      uri = uri path;
      items = Atomic.make [];
      waiting = Atomic.make 0;
      exported = Atomic.make 0;
      dropped = Atomic.make 0;
      wake = T.Condition.create ();
      is_closed = Atomic.make false;
      is_failing = false;
    }
  in
  let own = [ ("content-type", "application/json"); ("user-agent", "soil.otel/" ^ Soil.version) ] in
  let t =
    {
      limits;
      client;
      headers = Cohttp.Header.of_list (own @ headers);
      resource;
      queues = List.map queue [ Traces; Metrics; Logs ];
      held_items = Atomic.make 0;
      held_bytes = Atomic.make 0;
      inbox = Soil.Inbox.create scope;
      over = T.Promise.create ();
      collectors = [];
      on_failure;
    }
  in
  let until_end () =
    Soil.Private.finally (fun () -> stop t) T.Promise.(fun () -> await (create ()))
  in
  ignore (T.spawn_daemon ~protected:true scope until_end);
  List.iter (fun q -> ignore (T.spawn_daemon scope (run t q))) t.queues;
  (* They begin: a daemon that hasn't begun by the end of its scope never does. *)
  T.yield ();
  t

let on_collect t collector = t.collectors <- collector :: t.collectors

type statistics = { queued : int; exported : int; dropped : int }

let statistics t signal =
  let q = queue t signal in
  {
    queued = Atomic.get q.waiting;
    exported = Atomic.get q.exported;
    dropped = Atomic.get q.dropped;
  }

let held t = (Atomic.get t.held_items, Atomic.get t.held_bytes)
