(** Tar archives for {!Soil.Fs}.

    [(libraries soil soil.tar)] in a program's dune file is all that is needed: a disk that is a tar
    archive is mounted as others are, to be read only. *)
