(* What operators set in the environment, by OpenTelemetry's names. A value that can't be parsed
   counts as unset. https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables
   *)

let get name = match Sys.getenv_opt name with Some "" | None -> None | value -> value

(* [key=value,…], with escapes of URIs. *)
let pairs name =
  let pair text =
    match Soil.Private.cut '=' (String.trim text) with
    | "", _ -> None
    | _ when not (String.contains text '=') -> None
    | key, value -> Some (String.trim key, Uri.pct_decode (String.trim value))
  in
  List.filter_map pair (String.split_on_char ',' (Option.value (get name) ~default:""))

let is_disabled () = Option.map String.lowercase_ascii (get "OTEL_SDK_DISABLED") = Some "true"
let default_endpoint = "http://localhost:4318"

(* [signal] is as in the path: [traces]. *)
let uri endpoint signal =
  let own = get ("OTEL_EXPORTER_OTLP_" ^ String.uppercase_ascii signal ^ "_ENDPOINT") in
  match (endpoint, own) with
  | None, Some uri -> Uri.of_string uri
  | _ ->
      let general = Option.value (get "OTEL_EXPORTER_OTLP_ENDPOINT") ~default:default_endpoint in
      let base = Option.value endpoint ~default:(Uri.of_string general) in
      let path = Uri.path base in
      let path = if String.ends_with ~suffix:"/" path then path else path ^ "/" in
      Uri.with_path base (path ^ "v1/" ^ signal)

let headers () = pairs "OTEL_EXPORTER_OTLP_HEADERS"

let resource service : Attribute.t list =
  let from_environment = pairs "OTEL_RESOURCE_ATTRIBUTES" in
  let service =
    match (service, get "OTEL_SERVICE_NAME") with
    | Some name, _ | None, Some name -> name
    | None, None ->
        let unknown () = "unknown_service:" ^ Filename.basename Sys.executable_name in
        Option.value (List.assoc_opt "service.name" from_environment) ~default:(unknown ())
  in
  let others = List.filter (fun (key, _) -> key <> "service.name") from_environment in
  ("service.name", `String service)
  :: ("telemetry.sdk.name", `String "soil")
  :: ("telemetry.sdk.language", `String "ocaml")
  :: ("telemetry.sdk.version", `String Soil.version)
  :: List.map (fun (key, value) -> (key, `String value)) others

type sampler = Ratio of float | Parent_or of float

let sampler () =
  let argument =
    match Option.bind (get "OTEL_TRACES_SAMPLER_ARG") float_of_string_opt with
    | Some ratio when ratio >= 0. && ratio <= 1. -> ratio
    | Some _ | None -> 1.
  in
  match get "OTEL_TRACES_SAMPLER" with
  | Some "always_on" -> Ratio 1.
  | Some "always_off" -> Ratio 0.
  | Some "traceidratio" -> Ratio argument
  | Some "parentbased_always_off" -> Parent_or 0.
  | Some "parentbased_traceidratio" -> Parent_or argument
  | Some _ | None -> Parent_or 1.
