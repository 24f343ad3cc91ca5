(** The metadata of the machine: its identity, host name and user data, from a disk labelled
    [cidata] or [config-2], or from a provider's metadata service. [docs/metadata.md] describes the
    sources and the program's section of user data.

    In an image they are read before the program starts, and the section's arguments and environment
    are the program's. In a process the first {!get} reads the disk image that [SOIL_METADATA]
    names, and the section changes nothing else. *)

type source =
  | Nocloud  (** A disk labelled [cidata]. *)
  | Config_drive  (** A disk labelled [config-2]. *)
  | Ec2  (** The service of EC2, or one like it. *)
  | Gce  (** Google's service. *)
  | Openstack  (** OpenStack's service. *)
  | Hetzner  (** Hetzner's service. *)
  | Digitalocean  (** DigitalOcean's service. *)

type t = {
  source : source;
  id : string;  (** The provider's identifier of the machine, or [""]. *)
  host_name : string;  (** The host name, or [""]. *)
  user_data : string;  (** The user data as found, at most 256 KiB, or [""]. *)
  arguments : string list;  (** The section's arguments. *)
  environment : (string * string) list;  (** The section's variables, by name. *)
  files : (string * string) list;
      (** The section's files: paths and contents. A path is relative and has no [.] or [..]. *)
}
(** The type for metadata. *)

val get : unit -> t option
(** [get ()] is the metadata, [None] if there are none. Raises {!Soil.exception-Error} in a process
    whose [SOIL_METADATA] can't be read. *)

val file : t -> string -> string option
(** [file t path] is the contents of the section's file [path]. *)

val source_to_string : source -> string
(** [source_to_string s] is the name of [s], for services the word of [SOIL_METADATA]: ["nocloud"],
    ["config-drive"], ["ec2"], …. *)
