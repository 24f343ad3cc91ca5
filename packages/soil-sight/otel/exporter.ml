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
  overflowed : int Atomic.t; (* Of [dropped], those that didn't fit and aren't reported yet. *)
  is_closed : bool Atomic.t; (* Nothing sends any more. *)
  mutable is_failing : bool;
  mutable is_full : bool;
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

(* What is held is sent early when it reaches half of the bytes. *)
let half t = t.limits.max_bytes / 2

(* Metrics wait for their time. *)
let wake t queues =
  let signal q = if q.signal <> Metrics then T.Condition.signal q.wake in
  try Soil.Inbox.post t.inbox (fun () -> List.iter signal queues)
  with Invalid_argument _ -> (* The scope has ended. *) ()

let take q =
  let items = Atomic.exchange q.items [] in
  change q.waiting (-List.length items);
  List.rev items

let lose t q items =
  give_back t items;
  change q.dropped (List.length items)

let add t signal ~scope text =
  let q = queue t signal and item = { scope; text } in
  let n = size item in
  let items = Atomic.fetch_and_add t.held_items 1 in
  let bytes = Atomic.fetch_and_add t.held_bytes n in
  if items >= t.limits.max_items || bytes + n > t.limits.max_bytes || Atomic.get q.is_closed then (
    give_back t [ item ];
    Atomic.incr q.overflowed;
    Atomic.incr q.dropped)
  else (
    push q item;
    let waiting = 1 + Atomic.fetch_and_add q.waiting 1 in
    if bytes < half t && bytes + n >= half t then wake t t.queues
    else if waiting = t.limits.batch_items then wake t [ q ];
    (* In another domain, [close] may have taken the items before this one came. *)
    if Atomic.get q.is_closed then lose t q (take q))

(* Batches *)

let path = function Traces -> "traces" | Metrics -> "metrics" | Logs -> "logs"

(* The lists of a request, and the number in its response. *)
let members = function
  | Traces -> ("resourceSpans", "scopeSpans", "spans", "rejectedSpans")
  | Metrics -> ("resourceMetrics", "scopeMetrics", "metrics", "rejectedDataPoints")
  | Logs -> ("resourceLogs", "scopeLogs", "logRecords", "rejectedLogRecords")

(* Items that follow each other with the same scope are one list. *)
let rec by_scope = function
  | [] -> []
  | item :: rest -> (
      match by_scope rest with
      | (scope, items) :: others when scope = item.scope -> (scope, item :: items) :: others
      | others -> (item.scope, [ item ]) :: others)

let body t q items =
  let of_resource, of_scope, records, _ = members q.signal in
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

(* [Done (n, why)]: [n] of the items were lost. [Again (why, seconds)]: after so many seconds. *)
type answer = Done of int * string | Again of string * float option

(* The member [key] of the JSON [text], as it came: digits, or a string with its escapes. Quotes
   inside of a string have a backslash: no name is found there. *)
let member key text =
  let n = String.length text and name = "\"" ^ key ^ "\"" in
  let rec skip f i = if i < n && f text.[i] then skip f (i + 1) else i in
  let rec quote i =
    if i >= n then n else match text.[i] with '"' -> i | '\\' -> quote (i + 2) | _ -> quote (i + 1)
  in
  let rec find i =
    let after = i + String.length name in
    if after > n then ""
    else if String.sub text i (String.length name) <> name then find (i + 1)
    else
      let from = skip (String.contains " \t\r\n:") after in
      let from, until =
        if from < n && text.[from] = '"' then (from + 1, quote (from + 1))
        else (from, skip (function '0' .. '9' -> true | _ -> false) from)
      in
      if until > from then String.sub text from (until - from) else find (i + 1)
  in
  find 0

let message_bytes = 256

(* What a whole response says. *)
let rejected q text =
  let printable c = if c < ' ' || c = '\x7f' then '?' else c in
  let why = String.map printable (Attribute.cut message_bytes (member "errorMessage" text)) in
  let why = if why = "" then "" else " (" ^ why ^ ")" in
  let _, _, _, key = members q.signal in
  let lost = Option.value ~default:0 (int_of_string_opt (member key text)) in
  Done (max 0 lost, "the collector has rejected some" ^ why)

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
        known := Some (Done (0, ""));
        known := Some (rejected q (Soil.File_descriptor.read_all ~max:response_bytes source))
    | 429 | 502 | 503 | 504 -> known := Some (Again (status, retry_after response.headers))
    | _ -> known := Some (Done (max_int, status))
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
    | exception Client.Failed (_, problem) -> Done (max_int, Client.problem_to_string problem)
    | exception e -> Done (max_int, reason_of e)
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
  | Done (lost, reason) -> (min n lost, reason)
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
         Uri.(to_string (with_userinfo q.uri None))
         reason lost);
  q.is_failing <- lost > 0

let report_overflow t q =
  let lost = Atomic.exchange q.overflowed 0 in
  if lost > 0 && not q.is_full then
    t.on_failure
      (Printf.sprintf
         "otel: the queue of %s was full: %d items were lost. Raise max_items or max_bytes of its \
          limits, or record fewer."
         (path q.signal) lost);
  q.is_full <- lost > 0

let send t q =
  let left = ref (take q) in
  (* Cancelled at the end: [close] reports them. *)
  let put_back () =
    change q.waiting (List.length !left);
    List.iter (push q) !left
  in
  Soil.Private.finally put_back @@ fun () ->
  while !left <> [] do
    let batch, others = split t 0 0 !left in
    let n = List.length batch and until = Soil.Clock.monotonic () +. t.limits.retry_seconds in
    let lost, reason =
      try deliver t q (body t q batch) n ~until ~delay:first_delay with e -> (n, reason_of e)
    in
    left := others;
    give_back t batch;
    change q.dropped lost;
    change q.exported (n - lost);
    report t q lost reason
  done

(* Tasks *)

let collect t =
  let one collector = try collector () with e -> t.on_failure ("otel: " ^ reason_of e) in
  List.iter one (List.rev t.collectors)

(* Also what came during a request, when no signal reaches the queue's task. *)
let is_due t q =
  let waiting = Atomic.get q.waiting in
  waiting >= t.limits.batch_items
  || (waiting > 0 && q.signal <> Metrics && Atomic.get t.held_bytes >= half t)

let rec work t q =
  let seconds = if q.signal = Metrics then t.limits.metrics_seconds else t.limits.seconds in
  let wait () = if not (is_over t) then T.Condition.wait_no_mutex q.wake in
  if not (is_over t || is_due t q) then ignore (T.timeout_opt seconds wait);
  let is_last = is_over t in
  if q.signal = Metrics then collect t;
  report_overflow t q;
  send t q;
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
    let items = take q in
    lose t q items;
    report_overflow t q;
    report t q (List.length items) "the grace period is over"
  in
  Soil.Private.finally close @@ fun () -> T.first [ (fun () -> work t q); late ]

let stop t =
  T.Promise.fulfil t.over ();
  List.iter (fun q -> T.Condition.signal q.wake) t.queues

let check (l : Limits.t) =
  let at_least_1 = List.for_all (fun n -> n >= 1) and positive = List.for_all (fun x -> x > 0.) in
  if
    not
      (at_least_1 [ l.attributes; l.events; l.value_bytes; l.max_items; l.max_bytes ]
      && at_least_1 [ l.batch_items; l.batch_bytes ]
      && positive [ l.seconds; l.metrics_seconds; l.request_seconds; l.retry_seconds ]
      && l.grace >= 0.)
  then invalid_arg "Soil_otel.start: a limit isn't positive"

let create ~limits ~client ~uri ~headers ~resource ~on_failure scope =
  check limits;
  let queue signal =
    {
      signal;
      uri = uri (path signal);
      items = Atomic.make [];
      waiting = Atomic.make 0;
      exported = Atomic.make 0;
      dropped = Atomic.make 0;
      wake = T.Condition.create ();
      overflowed = Atomic.make 0;
      is_closed = Atomic.make false;
      is_failing = false;
      is_full = false;
    }
  in
  let own =
    [ ("content-type", "application/json"); ("user-agent", "soil-sight.otel/" ^ Soil.version) ]
  in
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
