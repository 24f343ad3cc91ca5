open Cmdliner

type t = {
  port : int;
  data : string;
  max_value : int;
  admin : bool;
  tls : (string * string) option;
}

let option ?docv ~doc name =
  let variable = String.uppercase_ascii (String.map (function '-' -> '_' | c -> c) name) in
  Arg.info [ name ] ?docv ~doc ~env:(Cmd.Env.info ("SERVICE_" ^ variable))

let port =
  let doc = "Listen at TCP port $(docv)." in
  let number = Arg.(value & opt Soil_cmdliner.port 80 & option "port" ~docv:"PORT" ~doc) in
  Term.(const (Soil.Needs.port "http" ~doc:"the interface") $ number)

let data =
  let volume () =
    Soil.Needs.volume "data" ~file_systems:[ `Ext4; `Host ] ~at_least:(Soil.Needs.mib 8)
      ~doc:"the values"
  in
  Term.(const volume $ const ())

let max_value =
  let doc = "Refuse values of more than $(docv) bytes." in
  Arg.(value & opt Soil_cmdliner.size (1 lsl 20) & option "max-value" ~docv:"SIZE" ~doc)

let admin =
  let doc = "Let every client have a part fail, by $(b,POST /fail/PART)." in
  Arg.(value & flag & option "admin" ~doc)

let tls =
  let file name doc = Arg.(value & opt (some string) None & option name ~docv:"FILE" ~doc) in
  let certificate = file "certificate" "Speak HTTPS with the certificates in $(docv) (PEM)." in
  let key = file "key" "The private key of the certificate (PEM)." in
  let both certificate key =
    match (certificate, key) with
    | Some certificate, Some key -> Ok (Some (certificate, key))
    | None, None -> Ok None
    | Some _, None | None, Some _ -> Error "--certificate and --key go together"
  in
  Term.(term_result' ~usage:true (const both $ certificate $ key))

let term =
  let make port data max_value admin tls = { port; data; max_value; admin; tls } in
  Term.(const make $ port $ data $ max_value $ admin $ tls)
