(** Certificates, roots and revocation lists from PEM files. *)

val roots : string -> Settings.roots
(** [roots path] is the roots in a file, or in all files of a folder. Waits. Raises
    {!Soil.exception-Error}. *)

val revoked : string -> string list
(** [revoked path] is the revocation lists in a file, or in all files of a folder. Waits. Raises
    {!Soil.exception-Error}. *)

val certificates : (string * string) list -> Settings.certificates
(** [certificates [ (chain, key); … ]] reads the files of chains and their keys. Waits. Raises
    {!Soil.exception-Error}. *)

val reload : Settings.certificates -> (string * string) list -> unit
(** [reload c files] replaces the certificates of [c] with the current files. Waits. If it raises
    {!Soil.exception-Error}, nothing has changed. *)
