(** ext4 for {!Soil.Fs}.

    [(libraries soil soil.ext4)] in a program's dune file is sufficient: ext4 disks are mounted like
    others. It isn't in [soil] because it adds some 400 KB to an image. *)
