(* tls_server FOLDER: HTTP over TLS with the certificates of a folder (/folder is an ext4 disk's):
   on 8443 for everyone, on 8444 for clients with a certificate of the authority, on 8445 in TLS 1.2
   only, and on 8446 with a second for the handshake. *)

module D = Soil.File_descriptor
module Tls = Soil_tls

let version = function Tls.Tls_1_2 -> "1.2" | Tls_1_3 -> "1.3"

let facts c =
  String.concat " "
    [
      version (Tls.version c);
      Option.value (Tls.protocol c) ~default:"-";
      (if Tls.resumed c then "resumed" else "full");
      Option.value (Tls.peer_name c) ~default:"-";
    ]

let large = String.init 1_000_000 (fun i -> Char.chr (Char.code 'a' + (i mod 26)))

let rec length_of r =
  match String.lowercase_ascii (Soil.Reader.line r) with
  | "" -> 0
  | line -> (
      match String.split_on_char ' ' line with
      | [ "content-length:"; n ] ->
          ignore (length_of r);
          int_of_string n
      | _ -> length_of r)

let answer reload c r request =
  let reply status body =
    let length = string_of_int (String.length body) in
    D.writev c [ "HTTP/1.1 "; status; "\r\nContent-Length: "; length; "\r\n\r\n"; body ]
  in
  let length = length_of r in
  match String.split_on_char ' ' request with
  | "GET" :: "/facts" :: _ -> reply "200 OK" (facts c ^ "\n")
  | "GET" :: "/large" :: _ -> reply "200 OK" large
  | "GET" :: "/reload" :: _ ->
      reload ();
      reply "200 OK" "reloaded\n"
  | "GET" :: "/update" :: _ ->
      Tls.update_keys c;
      reply "200 OK" "updated\n"
  | "POST" :: _ -> reply "200 OK" (String.uppercase_ascii (Soil.Reader.take r length))
  | _ -> reply "404 Not Found" ""

let rec serve reload c r =
  match Soil.Reader.line_opt r with
  | None -> ()
  | Some request ->
      answer reload c r request;
      serve reload c r

let () =
  Soil.run @@ fun () ->
  let folder = Sys.argv.(1) in
  let file name = folder ^ "/" ^ name in
  let pair name = (file (name ^ ".pem"), file (name ^ ".key")) in
  let certificates = Tls.Files.certificates [ pair "soil.test"; pair "other.test" ] in
  let reload () = Tls.Files.reload certificates [ pair "new.test" ] in
  let roots = [ Tls.Files.roots (file "authority.pem") ] in
  let protocols = [ "http/1.1" ] in
  let on_error _ = function
    | Soil.Error.Error e -> print_endline ("failed: " ^ e.detail)
    | Soil.Task.Timeout _ -> print_endline "failed: timed out"
    | e -> raise e
  in
  let patiently f = f () in
  let handler within config connection =
    let c = within (fun () -> Tls.server config connection) in
    D.with_close c (fun c ->
        serve reload c (Soil.Reader.create c);
        D.shutdown c `Send)
  in
  let listen scope (port, within, config) =
    let listener = Soil.Tcp.listen ~port () in
    let serve () = Soil.Tcp.serve ~on_error listener (handler within config) in
    ignore (Soil.Task.spawn scope serve)
  in
  let plain = Tls.server_config ~protocols certificates in
  let asking = Tls.server_config ~protocols ~clients:(`Required roots) certificates in
  let old = Tls.server_config ~versions:[ Tls_1_2 ] certificates in
  Soil.Task.scope @@ fun scope ->
  List.iter (listen scope)
    [
      (8443, patiently, plain);
      (8444, patiently, asking);
      (8445, patiently, old);
      (8446, Soil.Task.timeout 1., plain);
    ];
  print_endline "ready"
