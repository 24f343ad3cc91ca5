(** Mozilla's root certificates, linked into the program. *)

val roots : Settings.roots
(** [roots] is the list at this library's build date, some 150 authorities. It makes a program
    larger; a list in a file ({!Files.roots}) can be updated without a rebuild. *)
