let severity = function
  | Logs.Error -> 3
  | Logs.Warning -> 4
  | Logs.App -> 5
  | Logs.Info -> 6
  | Logs.Debug -> 7

(* Names are printable ASCII without blanks, of a limited length; none is [-]. *)
let name ~most text =
  let printable c = c > ' ' && c < '\x7f' in
  let text = String.map (fun c -> if printable c then c else '_') text in
  if text = "" then "-" else String.sub text 0 (min most (String.length text))

(* Days since 1970 to year, month and day: Howard Hinnant's civil_from_days. *)
let date days =
  let z = days + 719_468 in
  let era = (if z >= 0 then z else z - 146_096) / 146_097 in
  let of_era = z - (era * 146_097) in
  let year = (of_era - (of_era / 1460) + (of_era / 36_524) - (of_era / 146_096)) / 365 in
  let of_year = of_era - ((365 * year) + (year / 4) - (year / 100)) in
  let shifted = ((5 * of_year) + 2) / 153 in
  let day = of_year - (((153 * shifted) + 2) / 5) + 1 in
  let month = if shifted < 10 then shifted + 3 else shifted - 9 in
  ((year + (era * 400) + if month <= 2 then 1 else 0), month, day)

let timestamp ns =
  let us = if ns >= 0 then ns / 1000 else (ns - 999) / 1000 in
  let day = 86_400_000_000 in
  let days = if us >= 0 then us / day else (us - day + 1) / day in
  let rest = us - (days * day) in
  let year, month, day = date days in
  let seconds = rest / 1_000_000 in
  Printf.sprintf "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" year month day (seconds / 3600)
    (seconds / 60 mod 60)
    (seconds mod 60) (rest mod 1_000_000)

(* The first bytes of [text], at most [most], with no part of a character of UTF-8 at the end. *)
let cut most text =
  if String.length text <= most then text
  else
    let rec boundary i =
      if i > 0 && Char.code text.[i] land 0xc0 = 0x80 then boundary (i - 1) else i
    in
    String.sub text 0 (boundary most)

let message ~facility ~hostname ~app_name ~max_length { Sink.time; level; source; text } =
  let header =
    Printf.sprintf "<%d>1 %s %s %s - %s - "
      ((facility * 8) + severity level)
      (timestamp time) (name ~most:255 hostname) (name ~most:48 app_name) (name ~most:32 source)
  in
  header ^ cut (max_length - String.length header) text

let program () = Filename.remove_extension (Filename.basename Sys.executable_name)

(* What [opened] gives, opened by the first use, and what closes it. *)
let kept opened =
  let it = ref None in
  let get () =
    match !it with
    | Some d -> d
    | None ->
        let d = opened () in
        it := Some d;
        d
  in
  let close () =
    let d = !it in
    it := None;
    Option.iter Soil.File_descriptor.close d
  in
  (get, close)

let udp server =
  let get, close = kept (fun () -> Soil.Udp.bind ~port:0 ()) in
  ((fun text -> Soil.Udp.send_string (get ()) server text), close)

(* What was interrupted is no whole frame: the next one needs a new connection. *)
let tcp server =
  let get, close = kept (fun () -> Soil.Tcp.connect ~timeout:10. ~keepalive:60. server) in
  let write text =
    let frame = string_of_int (String.length text) ^ " " ^ text in
    match Soil.File_descriptor.write_string (get ()) frame with
    | () -> ()
    | exception e ->
        close ();
        raise e
  in
  (write, close)

let sink ?(facility = 16) ?(hostname = "") ?app_name ?max_length server =
  if facility < 0 || facility > 23 then invalid_arg "Soil_logs.Syslog.sink: facility";
  let app_name = match app_name with Some name -> name | None -> program () in
  let name, endpoint, usual, (write, close) =
    match server with
    | `Udp endpoint -> ("udp", endpoint, 2048, udp endpoint)
    | `Tcp endpoint -> ("tcp", endpoint, 8192, tcp endpoint)
  in
  let max_length = Option.value max_length ~default:usual in
  if max_length < 480 then invalid_arg "Soil_logs.Syslog.sink: max_length";
  let name = Printf.sprintf "syslog %s %s" name (Soil.Net.Endpoint.to_string endpoint) in
  Sink.make ~close ~name ~format:(message ~facility ~hostname ~app_name ~max_length) ~write ()
