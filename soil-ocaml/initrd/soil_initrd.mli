(** The files of a machine's initrd for {!Soil.Fs}.

    [(libraries soil soil.initrd)] in a program's dune file is sufficient: if the machine has an
    initrd, its files are at [/], in memory, unless something else is mounted there. A program that
    opens files by OCaml's own functions needs no library. *)
