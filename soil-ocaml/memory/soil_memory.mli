(** Volumes in memory for {!Soil.Fs}.

    [(libraries soil soil.memory)] in a program's dune file is all that is needed for mounts such as
    [/tmp=memory:16M]: files that may take so many bytes, and are gone with the program. *)
