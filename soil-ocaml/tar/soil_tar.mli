(** Tar archives for {!Soil.Fs}.

    [(libraries soil soil.tar)] in a program's dune file is sufficient: a disk with a tar archive is
    mounted like others, read-only. *)
