(** The authorities that Mozilla trusts, as part of the program. *)

val roots : Settings.roots
(** [roots] is the list of the date of this library's build, some 150 authorities. It makes a
    program larger; a list in a file ({!Files.roots}) can be renewed without a new build. *)
