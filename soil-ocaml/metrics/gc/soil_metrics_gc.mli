(** How long the garbage collector stops the program, as a histogram of {!Soil_metrics}. *)

val start : ?registry:Soil_metrics.registry -> unit -> unit
(** [start ()] turns OCaml's [Runtime_events] on and registers the histogram [ocaml_pause_seconds],
    with the label [phase]: [minor] (collections of the minor heap) and [major] (slices of major
    ones); and the counter [ocaml_events_lost_total], of events that were overwritten before they
    were read: they are read at the end of each major collection and when the text is asked for.

    Events take 2 MiB of memory in an image. They are in a file in the working directory, or where
    [OCAML_RUNTIME_EVENTS_DIR] says; in an image that is memory. Calling [start] again does nothing.
    Raises [Failure] if the file can't be made. *)

val read : unit -> unit
(** [read ()] takes the events that there are into the histogram; the text's function does it by
    itself. *)
