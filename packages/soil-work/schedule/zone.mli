(** Time zones: offsets of local times from UTC.

    A program has the zones that it embeds as files of
    {{:https://www.iana.org/time-zones}IANA's database} in the format TZif
    ({{:https://www.rfc-editor.org/rfc/rfc9636}RFC 9636}, versions 1 to 4), as in
    [/usr/share/zoneinfo]. After the last change in a file its footer counts, a rule for all years.
    Governments change rules: build the program again with new data. *)

type t
(** The type for time zones. *)

val utc : t

val of_posix : string -> t
(** [of_posix rule] is the zone of a rule as in the variable [TZ] of POSIX, with the extensions of
    RFC 9636 §3.3.1: ["CET-1CEST,M3.5.0,M10.5.0/3"]. Raises {!Soil.exception-Error} with
    [Bad_configuration], which names what is wrong, and the position. *)

val of_tzif : ?name:string -> string -> t
(** [of_tzif data] is the zone in [data], the contents of a file. Raises {!Soil.exception-Error}
    with [Bad_configuration] and [name] if they are damaged, or count leap seconds. *)

val load : folder:string -> string -> t
(** [load ~folder "Europe/Berlin"] is the zone in this file of [folder], which [soil embed] fills or
    [SOIL_MOUNT] mounts. Waits for the file. Raises {!Soil.exception-Error} with [Bad_configuration]
    if it is missing, the name has other characters than letters, digits and [/ _ - +], or
    {!of_tzif} does; and as {!Soil.Fs.read_file} does. *)

val offset : t -> float -> int
(** [offset zone t] is local time minus UTC in seconds, at [t] seconds since 1970-01-01 UTC. *)

(**/**)

type period = {
  from : int;  (** [min_int]: no earlier change. *)
  until : int;  (** [max_int]: no later change. *)
  offset : int;
  before : int;  (** The offset before [from]. *)
}

val period : t -> int -> period
(** [period zone t] is the time around [t] with one offset. *)

val floor_div : int -> int -> int

val weekday : int -> int
(** [weekday n] is the day of the week [n] days after 1970-01-01; 0 is Sunday. *)
