open Cmdliner

type certificates =
  | Files of { chain : string; key : string }
  | Acme of { directory : Uri.t; names : string list }

type t = {
  port : int;
  office_port : int;
  database : Uri.t;
  keys : Soil_http.Signed.keys Lazy.t;
  token : string option;
  proxies : Soil.Net.prefix list;
  secure_cookies : bool;
  tls : certificates option;
  notify : Uri.t option;
}

let option ?docv ~doc name =
  let variable = String.uppercase_ascii (String.map (function '-' -> '_' | c -> c) name) in
  Arg.info [ name ] ?docv ~doc ~env:(Cmd.Env.info ("STORE_" ^ variable))

let uri ~schemes =
  let parse text =
    let uri = Uri.of_string text in
    match (Uri.scheme uri, Uri.host uri) with
    | Some scheme, Some _ when List.mem scheme schemes -> Ok uri
    | _ -> Error (`Msg (Printf.sprintf "not %s://HOST" (String.concat " or " schemes)))
  in
  Arg.conv ~docv:"URI" (parse, Uri.pp)

let port_of name ~default ~need ~doc =
  let number = Arg.(value & opt Soil_cmdliner.port default & option name ~docv:"PORT" ~doc) in
  Term.(const (Soil.Needs.port need ~doc) $ number)

let port = port_of "port" ~default:80 ~need:"http" ~doc:"The page and the API."

let office_port =
  port_of "office-port" ~default:50051 ~need:"office" ~doc:"The back office, and metrics."

let database =
  let doc = "PostgreSQL's $(docv), such as postgresql://shop:password@10.0.0.5/shop." in
  let schemes = [ "postgresql"; "postgres" ] in
  Arg.(required & opt (some (uri ~schemes)) None & option "database" ~docv:"URI" ~doc)

(* Each has at least 32 bytes (Soil_http.Signed). *)
let keys =
  let parse text =
    match Soil_http.Signed.keys (String.split_on_char ',' text) with
    | keys -> Ok (lazy keys)
    | exception Invalid_argument _ -> Error (`Msg "a key has less than 32 bytes")
  in
  let key = Arg.conv ~docv:"KEYS" (parse, fun f _ -> Format.pp_print_string f "KEYS") in
  let doc =
    "Sign sessions by the first of $(docv), separated by commas, and accept all. All machines have \
     the same. By default it is random, and sessions end with the machine."
  in
  let random = lazy (Soil_http.Signed.keys [ Soil.Random.string 32 ]) in
  Arg.(value & opt key random & option "session-keys" ~docv:"KEYS" ~doc)

let token =
  let doc = "Require $(docv) of the back office's callers." in
  Arg.(value & opt (some string) None & option "token" ~docv:"TOKEN" ~doc)

let proxies =
  let doc = "Trust the X-Forwarded-For of proxies in $(docv), separated by commas." in
  let networks = Arg.list Soil_cmdliner.Net.prefix in
  Arg.(value & opt networks [] & option "proxies" ~docv:"NETWORKS" ~doc)

let secure_cookies =
  let doc = "Have browsers send cookies over TLS only: for machines behind a proxy with TLS." in
  Arg.(value & flag & option "secure-cookies" ~doc)

let notify =
  let doc = "POST the confirmation of each order to $(docv)." in
  Arg.(value & opt (some (uri ~schemes:[ "http" ])) None & option "notify" ~docv:"URI" ~doc)

let tls =
  let file name doc = Arg.(value & opt (some string) None & option name ~docv:"FILE" ~doc) in
  let certificate = file "certificate" "Speak HTTPS with the certificates in $(docv) (PEM)." in
  let key = file "key" "The private key of the certificate (PEM)." in
  let directory =
    let doc =
      "Speak HTTPS with certificates from the CA with the ACME directory $(docv), such as \
       https://acme-v02.api.letsencrypt.org/directory, and agree to its terms of service."
    in
    Arg.(
      value & opt (some (uri ~schemes:[ "https"; "http" ])) None & option "acme" ~docv:"URI" ~doc)
  in
  let names =
    let doc = "The names in these certificates, separated by commas." in
    Arg.(value & opt (list string) [] & option "domains" ~docv:"NAMES" ~doc)
  in
  let choose certificate key directory names =
    match (certificate, key, directory, names) with
    | Some chain, Some key, None, [] ->
        let doc = "the certificate" in
        ignore (Soil.Needs.volume "data" ~file_systems:[ `Ext4; `Host ] ~read_only:true ~doc);
        Ok (Some (Files { chain; key }))
    | None, None, Some directory, _ :: _ -> Ok (Some (Acme { directory; names }))
    | None, None, None, [] -> Ok None
    | _ -> Error "--certificate and --key go together, or --acme and --domains"
  in
  Term.(term_result' ~usage:true (const choose $ certificate $ key $ directory $ names))

let term =
  let make port office_port database keys token proxies secure_cookies tls notify =
    let secure_cookies = secure_cookies || tls <> None in
    { port; office_port; database; keys; token; proxies; secure_cookies; tls; notify }
  in
  Term.(
    const make $ port $ office_port $ database $ keys $ token $ proxies $ secure_cookies $ tls
    $ notify)
