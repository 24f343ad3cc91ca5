(** Waiting by Soil in other threads than the program's first.

    [(libraries soil soil.threads)] in a program's dune file is all that is needed; see
    {!Soil.Threads}. *)
