module Trace_context = Trace_context
module Json = Json
module Limits = Limits

type value = Attribute.value
type attributes = (string * value) list
type signal = Exporter.signal = Traces | Metrics | Logs

(* Exporting *)

type sampler = Settings.sampler = Ratio of float | Parent_or of float

let default_limits = Exporter.default_limits

type t = {
  exporter : Exporter.t;
  limits : Limits.t;
  parent_decides : bool;
  threshold : int; (* Traces with a smaller randomness aren't recorded. *)
  state : string; (* Of those that are. *)
}

let running : t option Atomic.t = Atomic.make None
let is_running () = Option.is_some (Atomic.get running)

(* One more than the largest randomness. *)
let all = 1 lsl 56

(* https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/ *)
let threshold_of ratio =
  if not (ratio >= 0. && ratio <= 1.) then
    invalid_arg "Soil_otel.start: a ratio that isn't between 0 and 1";
  int_of_float ((1. -. ratio) *. float_of_int all)

let state_of threshold =
  if threshold = 0 || threshold = all then ""
  else
    let digits = Printf.sprintf "%014x" threshold in
    let rec last i = if digits.[i] = '0' then last (i - 1) else i in
    "ot=th:" ^ String.sub digits 0 (1 + last 13)

let client scope = Soil_http.Client.(own scope (create ~max_connections:3 ~max_redirects:0 ()))
let report text = Soil.Private.print_error (fun () -> text ^ "\n")

let start ?endpoint ?headers ?client:given ?sampler ?service ?(resource = [])
    ?(limits = default_limits) ?(on_failure = report) scope =
  let ratio, parent_decides =
    match match sampler with Some sampler -> sampler | None -> Settings.sampler () with
    | Ratio ratio -> (ratio, false)
    | Parent_or ratio -> (ratio, true)
  in
  let threshold = threshold_of ratio in
  let own = List.filter (fun (key, _) -> not (List.mem_assoc key resource)) in
  let resource = resource @ own (Settings.resource service) in
  let resource = List.map (Attribute.limited limits.value_bytes) resource in
  let exporter =
    Exporter.create ~limits
      ~client:(match given with Some client -> client | None -> client scope)
      ~uri:(Settings.uri endpoint)
      ~headers:(match headers with Some l -> l | None -> Settings.headers ())
      ~resource:(Json.to_string (Json.record [ ("attributes", Attribute.to_json resource) ]))
      ~on_failure scope
  in
  let t = { exporter; limits; parent_decides; threshold; state = state_of threshold } in
  if not (Settings.is_disabled ()) then (
    if not (Atomic.compare_and_set running None (Some t)) then
      invalid_arg "Soil_otel.start: it has been started";
    Soil.Task.on_release scope (fun () -> Atomic.set running None));
  t

type statistics = Exporter.statistics = { queued : int; exported : int; dropped : int }

let statistics t signal = Exporter.statistics t.exporter signal
let held t = Exporter.held t.exporter
let on_collect t f = Exporter.on_collect t.exporter f

let add signal ~scope record =
  match Atomic.get running with
  | None -> ()
  | Some t -> Exporter.add t.exporter signal ~scope (Json.to_string record)

let count name n = if n = 0 then [] else [ (name, Json.int n) ]

(* Of [most] attributes at most; the number of the others, too. *)
let fields_of (limits : Limits.t) ~most attributes =
  let kept = List.map (Attribute.limited limits.value_bytes) (Attribute.first most attributes) in
  ("attributes", Attribute.to_json kept)
  :: count "droppedAttributesCount" (max 0 (List.length attributes - most))

let attribute_fields attributes =
  let limits = match Atomic.get running with Some t -> t.limits | None -> default_limits in
  fields_of limits ~most:limits.attributes attributes

let attributes_to_json attributes = snd (List.hd (attribute_fields attributes))

(* Spans *)

type kind = Internal | Server | Client | Producer | Consumer
type status = Unset | Ok | Error of string
type parent = Current | Root | Remote of Trace_context.t

type recording = {
  t : t;
  mutable name : string;
  kind : kind;
  parent : Trace_context.t option;
  is_remote : bool;
  started : int; (* In nanoseconds since 1970, as all times here. *)
  clock : int; (* The monotonic clock at that time. *)
  mutable attributes : attributes; (* The newest first. *)
  mutable dropped_attributes : int;
  mutable events : Json.t list; (* The newest first. *)
  mutable dropped_events : int;
  mutable links : Trace_context.t list;
  mutable status : status;
  mutable is_over : bool;
}

(* The context of a trace that isn't recorded is made when it is asked for; [randomness] is its
   end, and negative for [none]. *)
type span = {
  made : Trace_context.t option Atomic.t;
  randomness : int;
  recording : recording option;
}

let none = { made = Atomic.make None; randomness = -1; recording = None }

let rec context span =
  match Atomic.get span.made with
  | None when span.randomness >= 0 ->
      let c =
        Some (Trace_context.root ~randomness:span.randomness ~flags:Trace_context.random ~state:"")
      in
      ignore (Atomic.compare_and_set span.made None c);
      context span
  | made -> made

let is_recording span = match span.recording with Some r -> not r.is_over | None -> false
let key : span Soil.Task.Local.t = Soil.Task.Local.create ()

(* Other threads than those of tasks have no values. *)
let current () =
  match Soil.Task.Local.get key with
  | Some span -> span
  | None -> none
  | exception Invalid_argument _ -> none

let within span f = Soil.Task.Local.with_ key span f
let fields span = match context span with Some c -> Trace_context.to_fields c | None -> []

let changing span f =
  match span.recording with Some r when not r.is_over -> f r | Some _ | None -> ()

let set_name span name =
  changing span (fun r -> r.name <- Attribute.cut r.t.limits.value_bytes name)

let set_status span status =
  changing span @@ fun r ->
  r.status <-
    (match status with
    | Error message -> Error (Attribute.cut r.t.limits.value_bytes message)
    | (Unset | Ok) as status -> status)

let name span = match span.recording with Some r -> r.name | None -> ""

let set r attribute =
  let ((key, _) as attribute) = Attribute.limited r.t.limits.value_bytes attribute in
  let is_other (name, _) = not (String.equal name key) in
  if not (List.for_all is_other r.attributes) then
    r.attributes <- attribute :: List.filter is_other r.attributes
  else if List.compare_length_with r.attributes r.t.limits.attributes < 0 then
    r.attributes <- attribute :: r.attributes
  else r.dropped_attributes <- r.dropped_attributes + 1

let set_attributes span attributes = changing span (fun r -> List.iter (set r) attributes)
let set_attribute span key value = set_attributes span [ (key, value) ]
let now r = r.started + (Soil.Clock.monotonic_ns () - r.clock)
let max_details = 16

let add_event ?(attributes = []) span event =
  changing span @@ fun r ->
  if List.compare_length_with r.events r.t.limits.events < 0 then
    let details = fields_of r.t.limits ~most:max_details attributes in
    let name = Json.string (Attribute.cut 256 event) in
    r.events <-
      Json.record (("timeUnixNano", Json.int64 (now r)) :: ("name", name) :: details) :: r.events
  else r.dropped_events <- r.dropped_events + 1

let record_exception span e backtrace =
  match e with
  | Soil.Task.Cancelled -> set_attribute span "error.type" (`String "cancelled")
  | e ->
      changing span @@ fun _ ->
      let kind = `String (Printexc.exn_slot_name e) and message = Printexc.to_string e in
      set_attribute span "error.type" kind;
      set_status span (Error message);
      let trace = Printexc.raw_backtrace_to_string backtrace in
      let attributes : attributes =
        [
          ("exception.type", kind);
          ("exception.message", `String message);
          ("exception.stacktrace", `String trace);
        ]
      in
      add_event ~attributes span "exception"

let recorded t ~kind ~attributes ~is_remote parent name =
  let r =
    {
      t;
      name = Attribute.cut t.limits.value_bytes name;
      kind;
      parent;
      is_remote;
      started = Soil.Clock.now_ns ();
      clock = Soil.Clock.monotonic_ns ();
      attributes = [];
      dropped_attributes = 0;
      events = [];
      dropped_events = 0;
      links = [];
      status = Unset;
      is_over = false;
    }
  in
  List.iter (set r) attributes;
  r

let made c recording = { made = Atomic.make (Some c); randomness = 0; recording }

let root t ~kind ~attributes name =
  let randomness = Trace_context.draw () in
  if randomness < t.threshold then { made = Atomic.make None; randomness; recording = None }
  else
    let flags = Trace_context.(random lor sampled) in
    let c = Trace_context.root ~randomness ~flags ~state:t.state in
    made c (Some (recorded t ~kind ~attributes ~is_remote:false None name))

let child t ~kind ~attributes ~is_remote parent name =
  (* Of this program's traces, the first span has decided. *)
  let decides = is_remote && not t.parent_decides in
  let is_sampled =
    if decides then Trace_context.randomness parent >= t.threshold
    else Trace_context.is_sampled parent
  in
  let recording =
    if is_sampled then Some (recorded t ~kind ~attributes ~is_remote (Some parent) name) else None
  in
  let c = Trace_context.child parent ~is_sampled in
  let state = if is_sampled then t.state else "" in
  made (if decides then Trace_context.with_threshold c ~state else c) recording

let start_span ?(kind = Internal) ?(attributes = []) ?(parent = Current) name =
  match Atomic.get running with
  | None -> none
  | Some t -> (
      match parent with
      | Root -> root t ~kind ~attributes name
      | Remote c -> child t ~kind ~attributes ~is_remote:true c name
      | Current -> (
          let span = current () in
          match span.recording with
          (* Nothing refers to the span of a trace that isn't recorded: one is enough. *)
          | None when span != none -> span
          | None -> root t ~kind ~attributes name
          | Some _ ->
              let parent = Option.get (context span) in
              child t ~kind ~attributes ~is_remote:false parent name))

let max_links = 32

let add_link span c =
  changing span (fun r ->
      if List.compare_length_with r.links max_links < 0 then r.links <- c :: r.links)

(* Encoding *)

let number = function Internal -> 1 | Server -> 2 | Client -> 3 | Producer -> 4 | Consumer -> 5

let status_to_json = function
  | Unset -> []
  | Ok -> [ ("status", Json.record [ ("code", Json.int 1) ]) ]
  | Error message ->
      [ ("status", Json.record [ ("code", Json.int 2); ("message", Json.string message) ]) ]

let context_to_json ~bits (c : Trace_context.t) =
  [
    ("traceId", Json.string c.trace_id);
    ("spanId", Json.string c.span_id);
    ("flags", Json.int (c.flags lor bits));
  ]
  @ if c.state = "" then [] else [ ("traceState", Json.string c.state) ]

(* Bits 8 and 9 of the flags: whether the parent is remote is known, and whether it is. The context
   of a link can be this program's as well. *)
let bits r = if r.is_remote then 0x300 else 0x100
let link_to_json c = Json.record (context_to_json ~bits:0 c)
let list name f l = if l = [] then [] else [ (name, Json.list (List.map f l)) ]

let span_to_json c r ~ended =
  Json.record
    (context_to_json ~bits:(bits r) c
    @ (match r.parent with Some p -> [ ("parentSpanId", Json.string p.span_id) ] | None -> [])
    @ [
        ("name", Json.string r.name);
        ("kind", Json.int (number r.kind));
        ("startTimeUnixNano", Json.int64 r.started);
        ("endTimeUnixNano", Json.int64 ended);
        ("attributes", Attribute.to_json (List.rev r.attributes));
      ]
    @ count "droppedAttributesCount" r.dropped_attributes
    @ list "events" Fun.id (List.rev r.events)
    @ count "droppedEventsCount" r.dropped_events
    @ list "links" link_to_json (List.rev r.links)
    @ status_to_json r.status)

let scope_name = "soil-sight.otel"

let finish span =
  changing span @@ fun r ->
  r.is_over <- true;
  let ended = now r in
  Option.iter
    (fun c ->
      let text = Json.to_string (span_to_json c r ~ended) in
      Exporter.add r.t.exporter Traces ~scope:scope_name text)
    (context span)

let with_span ?kind ?attributes ?parent name f =
  let span = start_span ?kind ?attributes ?parent name in
  match span.recording with
  | None -> if span == none then f span else within span (fun () -> f span)
  | Some _ -> (
      within span @@ fun () ->
      match f span with
      | v ->
          finish span;
          v
      | exception e ->
          let backtrace = Soil_backtrace.get () in
          record_exception span e backtrace;
          finish span;
          Soil_backtrace.reraise e backtrace)
