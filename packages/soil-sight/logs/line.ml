type value = Text of string | Json of string

type t = {
  time : int;
  level : Logs.level;
  source : string;
  tags : (string * value) list;
  text : string;
}

let level = function
  | Logs.App -> "app"
  | Logs.Error -> "error"
  | Logs.Warning -> "warn"
  | Logs.Info -> "info"
  | Logs.Debug -> "debug"

let timestamp ns =
  let us = if ns >= 0 then ns / 1000 else (ns - 999) / 1000 in
  let day = 86_400_000_000 in
  let days = if us >= 0 then us / day else (us - day + 1) / day in
  let rest = us - (days * day) in
  let year, month, day = Soil.Private.date days in
  let seconds = rest / 1_000_000 in
  Printf.sprintf "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" year month day (seconds / 3600)
    (seconds / 60 mod 60)
    (seconds mod 60) (rest mod 1_000_000)

let tagged tags text =
  let shown = function
    | name, Text value -> Some (name ^ "=" ^ String.escaped value)
    | _, Json _ -> None
  in
  match List.filter_map shown tags with
  | [] -> text
  | shown -> "[" ^ String.concat " " shown ^ "] " ^ text

let plain m =
  let source = if m.source = "" then "" else m.source ^ ": " in
  Printf.sprintf "%s %s: %s%s\n" (timestamp m.time) (level m.level) source (tagged m.tags m.text)

let id_name = "request_id"

let tags_of set =
  let add (Logs.Tag.V (definition, value)) tags =
    let text = Format.asprintf "%a" (Logs.Tag.printer definition) value in
    let value = if Logs.Tag.doc definition = "application/json" then Json text else Text text in
    (Logs.Tag.name definition, value) :: tags
  in
  let tags = List.rev (Logs.Tag.fold add set []) in
  if List.mem_assoc id_name tags then tags
  else
    match Soil.Private.current_request_id () with
    | None -> tags
    | Some id -> (id_name, Text id) :: tags

let reporter say =
  let report source level ~over k message =
    let buffer = Buffer.create 128 in
    let formatter = Format.formatter_of_buffer buffer in
    message @@ fun ?header ?(tags = Logs.Tag.empty) format ->
    let finish _ =
      Format.pp_print_flush formatter ();
      let name = Logs.Src.name source in
      let source = if name = Logs.Src.name Logs.default then "" else name in
      let text = Buffer.contents buffer in
      let text = match header with None -> text | Some header -> header ^ ": " ^ text in
      say { time = Soil.Clock.now_ns (); level; source; tags = tags_of tags; text };
      over ();
      k ()
    in
    Format.kfprintf finish formatter format
  in
  { Logs.report }
