(** Volumes in memory for {!Soil.Fs}.

    [(libraries soil soil.memory)] in a program's dune file is sufficient for mounts such as
    [/tmp=memory:16M]. The size limits the bytes of all files, which are lost when the program ends.
*)
