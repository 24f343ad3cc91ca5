(** Statuses and deadlines as fields. Private to [soil-grpc]. *)

val to_fields : Status.t -> (string * string) list
(** [to_fields s] is [grpc-status], and [grpc-message] and [grpc-status-details-bin] if needed. *)

val of_header : Cohttp.Header.t -> Status.t option
(** [of_header h] is the status in the fields [h]; [None] without [grpc-status]. *)

val of_http : int -> Status.t
(** [of_http n] is the status of a response with the status [n] of HTTP that isn't gRPC's. *)

val timeout : float -> string
(** [timeout seconds] is the value of [grpc-timeout], rounded up to at most eight digits. *)

val of_timeout : string -> float option
(** [of_timeout s] is the seconds in the value [s] of [grpc-timeout], if it is one. *)
