(** Volumes in memory for {!Soil.Fs}.

    [(libraries soil soil.memory)] in a program's dune file is all that is needed for mounts such as
    [/tmp=memory:16M]. The size limits the bytes of all files; they are gone with the program. *)
