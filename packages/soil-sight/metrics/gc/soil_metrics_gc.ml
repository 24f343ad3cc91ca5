module Events = Runtime_events

(* From 10 us to 1 s. *)
let bounds = [ 1e-5; 2.5e-5; 1e-4; 2.5e-4; 1e-3; 2.5e-3; 0.01; 0.025; 0.1; 0.25; 1. ]

type phase = { histogram : Soil_metrics.Histogram.t; mutable begun : int64  (** -1: not *) }

let never = -1L
let poll = ref ignore
let is_polling = ref false

(* The end of a major collection may come while events are read. *)
let read () =
  if not !is_polling then (
    is_polling := true;
    Fun.protect ~finally:(fun () -> is_polling := false) !poll)

let start_with registry =
  let lost = ref 0 in
  (* The text has families in the order of their registration: this one reads for both. *)
  Soil_metrics.collect ?registry ~help:"Events of the runtime that were lost unread." `Counter
    "ocaml_events_lost_total" (fun () ->
      read ();
      [ ([], float_of_int !lost) ]);
  let pauses =
    Soil_metrics.Histogram.v_labels ?registry ~bounds ~label_names:[ "phase" ]
      ~help:"Pauses of the program for garbage collection." "ocaml_pause_seconds"
  in
  let phase name = { histogram = Soil_metrics.Histogram.labels pauses [ name ]; begun = never } in
  let minor = phase "minor" and major = phase "major" in
  let of_event : Events.runtime_phase -> phase option = function
    | EV_MINOR -> Some minor
    | EV_MAJOR_SLICE -> Some major
    | _ -> None
  in
  let on event f = Option.iter f (of_event event) in
  let at = Events.Timestamp.to_int64 in
  let runtime_begin _ time event = on event (fun phase -> phase.begun <- at time) in
  let runtime_end _ time event =
    on event @@ fun phase ->
    if phase.begun <> never then (
      let ns = Int64.to_float (Int64.sub (at time) phase.begun) in
      phase.begun <- never;
      Soil_metrics.Histogram.observe phase.histogram (ns /. 1e9))
  in
  let lost_events _ n =
    lost := !lost + n;
    (* The end may be among them. *)
    minor.begun <- never;
    major.begun <- never
  in
  Events.start ();
  let cursor = Events.create_cursor None in
  let callbacks = Events.Callbacks.create ~runtime_begin ~runtime_end ~lost_events () in
  (poll := fun () -> ignore (Events.read_poll cursor callbacks None));
  ignore (Gc.create_alarm read)

let is_started = ref false

let start ?registry () =
  if not !is_started then (
    is_started := true;
    start_with registry)
