(** Printers of Soil's types for the [fmt] library.

    {[
      Fmt.pr "%a: %a@." Soil_fmt.endpoint peer Soil_fmt.exn e
    ]}

    Printers write plain text in one line, unless stated otherwise, without a final newline. Only
    {!formatter} can wait. *)

(** {1:errors Errors} *)

val error : Soil.Error.t Fmt.t
(** [error] prints operation, subject and reason, like [Soil.Error.to_string]. *)

val error_code : Soil.Error.code Fmt.t
(** [error_code] prints the phrase of [Soil.Error.message]. *)

val exn : exn Fmt.t
(** [exn] is [Fmt.exn] with readable text for Soil's own exceptions: [Soil.Error],
    [Soil.Task.Timeout] and [Soil.Task.Cancelled]. *)

val result : ok:'a Fmt.t -> ('a, Soil.Error.t) result Fmt.t
(** [result ~ok] prints results of [Soil.Error.catch]. *)

val kv_error : Soil.Kv.error Fmt.t

(** {1:network Network} *)

val address : Soil.Net.address Fmt.t
val endpoint : Soil.Net.endpoint Fmt.t
val mac : Soil.Net.mac Fmt.t

val prefix : Soil.Net.prefix Fmt.t
(** [prefix] prints the address and the length: [192.0.2.7/24]. *)

val interface : Soil.Net.interface Fmt.t
(** [interface] prints name, Ethernet address, MTU, addresses, gateway and name servers. *)

(** {1:machine Files and the machine} *)

val seconds : float Fmt.t
(** [seconds] prints a time span in a suitable unit: [1.5] is [1.5s], [2e-6] is [2us]. An infinite,
    undefined or negative time is printed as [%gs]. *)

val size : int Fmt.t
(** [size] prints a number of bytes in a suitable unit, like [Fmt.byte_size]. *)

val kind : Soil.Fs.kind Fmt.t

val volume : Soil.Fs.volume Fmt.t
(** [volume] prints mount point, source, health, free and total space. *)

val memory : Soil.Machine.memory Fmt.t

val health : Soil.Supervisor.health list Fmt.t
(** [health] prints a line for each child, like [Soil.Supervisor.health_to_string]. *)

(** {1:output Output} *)

val formatter : Soil.Writer.t -> Format.formatter
(** [formatter w] is a formatter whose text goes to [w]: [Fmt.pf (formatter w) …]. Printing and [@?]
    wait if the writer's buffer is full; [@.] and [Format.pp_print_flush] also flush [w]. Like [w]
    it belongs to one task at a time. *)
