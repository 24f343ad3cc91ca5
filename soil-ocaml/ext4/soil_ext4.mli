(** ext4 for {!Soil.Fs}.

    [(libraries soil soil.ext4)] in a program's dune file is all that is needed: disks with ext4 are
    mounted as others are. It makes an image some 400 KB larger, which is why it isn't in [soil]. *)
