(** The settings of a server, from the environment; README.md lists the variables. *)

type t = {
  id : int;
  address : string;  (** Of the server's own port for servers. *)
  members : Message.configuration;  (** The first members. *)
  peers : (int * string) list;  (** Numbers and addresses of all servers that are known. *)
  data : string;  (** The directory. *)
  snapshot : int;  (** Entries between snapshots. *)
  digest : int option;  (** Entries between two lines with a digest of the data. *)
  connections : int;  (** That it accepts of the others. *)
  raft : State.settings;
}

exception Invalid of string
(** Raised by {!of_environment} with the variable, its error and the remedy. *)

val of_environment : data:(unit -> string) -> t
(** [of_environment ~data] is the settings; without [REPLICATED_DATA] the directory is [data ()]. *)

val port : t -> int
(** [port t] is the port for servers. The next one is for clients. *)
