module Server = Soil_http.Server

let source = Logs.Src.create "http" ~doc:"Requests and their responses."

(* Tags *)

let request_id = Logs.Tag.def "request_id" ~doc:"The request's identifier." Format.pp_print_string

let entry =
  let print ppf entry = Format.pp_print_string ppf (Soil_http.Access_log.json_members entry) in
  Logs.Tag.def "http" ~doc:"application/json" print

let tagged id =
  Option.fold ~none:Logs.Tag.empty ~some:(Logs.Tag.(Fun.flip (add request_id)) Logs.Tag.empty) id

let tags () = tagged (Server.Request.current_id ())

(* Messages *)

let access ?(src = source) ?(format = Server.entry_text) (e : Server.entry) =
  let level = if Cohttp.Code.code_of_status e.status >= 500 then Logs.Warning else Logs.Info in
  let tags () = Logs.Tag.add entry e (tagged e.id) in
  Logs.msg ~src level (fun m -> m ~tags:(tags ()) "%s" (format e))

(* Without a reporter nothing would say it. *)
let report what e backtrace =
  if Logs.reporter () == Logs.nop_reporter then Server.print_exception what e backtrace
  else
    let trace = String.trim (Printexc.raw_backtrace_to_string backtrace) in
    let trace = if trace = "" then "" else "\n" ^ trace in
    let text = what () ^ Printexc.to_string e ^ trace in
    Logs.err ~src:source (fun m -> m ~tags:(tags ()) "%s" text)

let () = Server.on_exception report

(* Levels *)

let name level = Logs.level_to_string level

let shown () =
  let line src = Logs.Src.name src ^ " " ^ name (Logs.Src.level src) ^ "\n" in
  String.concat "" (List.sort compare (List.map line (Logs.Src.list ())))

let level_of = function "warn" -> Ok (Some Logs.Warning) | text -> Logs.level_of_string text

let set request =
  let parameter key =
    match List.assoc_opt key (Server.query request) with
    | Some (value :: _) -> Some value
    | Some [] | None -> None
  in
  let wrong detail = Server.error request `Bad_request ~detail in
  let has_name wanted src = Logs.Src.name src = wanted in
  match (Option.map level_of (parameter "level"), parameter "source") with
  | (None | Some (Error _)), _ ->
      wrong "level: give quiet, app, error, warning, info or debug (?level=debug)"
  | Some (Ok level), None ->
      Logs.set_level ~all:true level;
      Server.string (shown ())
  | Some (Ok level), Some wanted -> (
      match List.filter (has_name wanted) (Logs.Src.list ()) with
      | [] -> wrong ("source: none is called " ^ wanted ^ ": GET lists them")
      | sources ->
          List.iter (fun src -> Logs.Src.set_level src level) sources;
          Server.string (shown ()))

let levels request =
  match Server.meth request with
  | `GET | `HEAD -> Server.string (shown ())
  | `PUT -> set request
  | _ ->
      let headers = Cohttp.Header.init_with "allow" "GET, HEAD, PUT" in
      Server.error request ~headers `Method_not_allowed
