(** The service's arguments and needs. *)

type t = {
  port : int;  (** [--port], [SERVICE_PORT]: 80. *)
  data : string;  (** The folder of the values, a needed volume. *)
  max_value : int;  (** [--max-value], [SERVICE_MAX_VALUE]: bytes of a value, 1 MiB. *)
  admin : bool;
      (** [--admin], [SERVICE_ADMIN=1]: [POST /fail/CHILD] makes a child fail. For tests: every
          client can do it. *)
  tls : (string * string) option;
      (** [--certificate] and [--key]: the files of the chain and of its key, for HTTPS. *)
}

val term : t Cmdliner.Term.t
