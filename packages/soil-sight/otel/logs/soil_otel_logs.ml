module Otel = Soil_otel
module Json = Soil_otel.Json

(* https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber *)
let severity = function
  | Logs.Debug -> (5, "DEBUG")
  | Logs.Info -> (9, "INFO")
  | Logs.App -> (10, "INFO2")
  | Logs.Warning -> (13, "WARN")
  | Logs.Error -> (17, "ERROR")

let attributes_of tags : Otel.attributes =
  let one (Logs.Tag.V (definition, v)) attributes =
    let text = Format.asprintf "%a" (Logs.Tag.printer definition) v in
    (Logs.Tag.name definition, `String text) :: attributes
  in
  List.rev (Logs.Tag.fold one tags [])

let context () =
  match Otel.context (Otel.current ()) with
  | None -> []
  | Some c ->
      [
        ("traceId", Json.string c.trace_id);
        ("spanId", Json.string c.span_id);
        ("flags", Json.int c.flags);
      ]

let export ~max_bytes src level tags text =
  let number, name = severity level and now = Json.int64 (Soil.Clock.now_ns ()) in
  let text = if String.length text > max_bytes then String.sub text 0 max_bytes else text in
  let scope = if Logs.Src.equal src Logs.default then "" else Logs.Src.name src in
  Otel.add Logs ~scope
    (Json.record
       ([
          ("timeUnixNano", now);
          ("observedTimeUnixNano", now);
          ("severityNumber", Json.int number);
          ("severityText", Json.string name);
          ("body", Json.record [ ("stringValue", Json.string text) ]);
        ]
       @ Otel.attribute_fields (attributes_of tags)
       @ context ()))

let reporter ?(max_bytes = 16384) (next : Logs.reporter) =
  let report src level ~over k msgf =
    if not (Otel.is_running ()) then next.report src level ~over k msgf
    else
      msgf @@ fun ?header ?(tags = Logs.Tag.empty) format ->
      Format.kasprintf
        (fun text ->
          let prefix = match header with None -> "" | Some header -> header ^ ": " in
          export ~max_bytes src level tags (prefix ^ text);
          next.report src level ~over k (fun m -> m ?header ~tags "%s" text))
        format
  in
  { Logs.report }
