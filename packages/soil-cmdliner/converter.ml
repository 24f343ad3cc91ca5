open Cmdliner

let v ~docv ~expected parse print =
  let parse text =
    match parse text with
    | Some value -> Ok value
    | None -> Error (`Msg (Printf.sprintf "invalid value '%s', expected %s" text expected))
  in
  Arg.conv ~docv (parse, fun ppf value -> Format.pp_print_string ppf (print value))
