(** The service's configuration: arguments, and the environment where there is none. *)

type t = {
  port : int;  (** [--port], [SERVICE_PORT]; 80. *)
  data : string;  (** [--data], [SERVICE_DATA]: the folder of the values; [/data]. *)
  max_value : int;  (** [--max-value], [SERVICE_MAX_VALUE]: bytes of a value; 1 MiB. *)
  admin : bool;
      (** [--admin], [SERVICE_ADMIN=1]: [POST /fail/CHILD] has a child fail. For tests: every client
          can do it. *)
}

val read : unit -> t
(** [read ()] is the program's configuration. Ends the program with status 2, and with help, if
    there is a mistake in it. *)
