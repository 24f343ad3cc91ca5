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

(* The first bytes of [text], at most [most], with no part of a character of UTF-8 at the end. *)
let cut most text =
  if String.length text <= most then text
  else
    let rec boundary i =
      if i > 0 && Char.code text.[i] land 0xc0 = 0x80 then boundary (i - 1) else i
    in
    String.sub text 0 (boundary most)

let message ~facility ~hostname ~app_name ~max_length { Sink.time; level; source; tags; text } =
  let text = Line.tagged tags text in
  let header =
    Printf.sprintf "<%d>1 %s %s %s - %s - "
      ((facility * 8) + severity level)
      (Line.timestamp time) (name ~most:255 hostname) (name ~most:48 app_name)
      (name ~most:32 source)
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
