(** Certificates, roots and lists from files in PEM. *)

val roots : string -> Settings.roots
(** [roots path] is what a file, or each file in a folder, says. Waits. Raises
    {!Soil.exception-Error}. *)

val revoked : string -> string list
(** [revoked path] is the revocation lists of a file, or of all files in a folder. Waits. Raises
    {!Soil.exception-Error}. *)

val certificates : (string * string) list -> Settings.certificates
(** [certificates [ (chain, key); … ]] reads the files of a chain and of its key. Waits. Raises
    {!Soil.exception-Error}. *)

val reload : Settings.certificates -> (string * string) list -> unit
(** [reload c files] replaces the certificates of [c] by what the files say now. Waits. If it raises
    {!Soil.exception-Error}, nothing has changed. *)
