(** Pauses of the garbage collector as a histogram of {!Soil_metrics}. *)

val start : ?registry:Soil_metrics.registry -> unit -> unit
(** [start ()] enables OCaml's [Runtime_events] and registers the histogram [ocaml_pause_seconds],
    with the label [phase]: [minor] (minor collections) and [major] (major slices); and the counter
    [ocaml_events_lost_total] of events overwritten before they were read: at the end of each major
    collection and when the text is requested.

    Events take 2 MiB of memory in an image. They are in a file in the working directory, or in
    [OCAML_RUNTIME_EVENTS_DIR]; in an image that is memory. Calling [start] again does nothing.
    Raises [Failure] if the file can't be created. *)

val read : unit -> unit
(** [read ()] adds the pending events to the histogram; a request for the text does so implicitly.
*)
