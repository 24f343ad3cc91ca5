(** Program arguments with the [cmdliner] library.

    {[
      open Cmdliner

      let port =
        let doc = "Listen at TCP port $(docv)." in
        let number = Arg.(value & opt Soil_cmdliner.port 80 & info [ "port" ] ~docv:"PORT" ~doc) in
        Term.(const (Soil.Needs.port "http") $ number)

      let data = Term.(const (fun () -> Soil.Needs.volume "data") $ const ())
      let serve port data () = Soil.Tcp.serve (Soil.Tcp.listen ~port ()) (answer_from data)

      let () =
        let doc = "keeps values" in
        let info = Cmd.info "store" ~doc ~version:"1.0" in
        Soil_cmdliner.main (Cmd.v info Term.(const serve $ port $ data))
    ]}

    The arguments are parsed before {!Soil.run} begins, so a term may declare a need ({!Soil.Needs})
    that depends on them, as [port] does. [soil run store.exe -- --port 8000] then forwards port
    8000. A missing or wrong argument is reported before [soil run] checks anything, and [--help]
    needs no disk.

    [--help] prints Cmdliner's page, in plain text without a pager: in an image, and under
    [soil run]. [--version] is that of [Cmd.info]. *)

val main : (unit -> unit) Cmdliner.Cmd.t -> unit
(** [main cmd] is [Soil.run f], where [f] is the value of [cmd] for the program's arguments.

    With [--help] and [--version] the program exits with status 0; with invalid arguments, or if a
    term evaluates to an error, with a message and {!Cmdliner.Cmd.Exit.cli_error} (124). An
    exception of a term or of [f] isn't caught. *)

val main_result : (unit -> (unit, string) result) Cmdliner.Cmd.t -> unit
(** [main_result cmd] is {!main}, and if [f ()] is [Error message] the program writes the command's
    name and [message] to standard error, and exits with {!Cmdliner.Cmd.Exit.some_error} (123). *)

(** {1:converters Converters} *)

val port : int Cmdliner.Arg.conv
(** [port] is a port, 1 to 65535. *)

val size : int Cmdliner.Arg.conv
(** [size] is a number of bytes, optionally with a binary unit: [512], [64K], [16M], [1G]. *)

val seconds : float Cmdliner.Arg.conv
(** [seconds] is a non-negative time span: [0.5], [30]. *)

module Net = Addresses
(** Converters for addresses. They don't link Soil's network. *)
