val on_two : (int -> unit) -> unit
(** [on_two f] runs [f 0] and [f 1] at once, on a processor each: in domains of Soil, or in two
    processes. Before it the program starts no domain. *)
