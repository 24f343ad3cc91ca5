(* HTTP on port 8000, and HTTPS on 8443 with the certificate in the folder given as argument. *)

module D = Soil.File_descriptor
module Server = Soil_http.Server
module Websocket = Soil_http.Websocket

let large = 1 lsl 26

(* What comes, in capitals, as it comes. *)
let capitals request =
  let body = Server.body ~max:large request in
  Server.stream (fun sink ->
      let b = Bytes.create 65536 in
      let rec go () =
        match D.read body b 0 (Bytes.length b) with
        | 0 -> ()
        | n ->
            D.write_string sink (String.uppercase_ascii (Bytes.sub_string b 0 n));
            go ()
      in
      go ())

(* One of many clients of a busy host may be long in coming to its next request. *)
let limits = { Server.default_limits with idle_seconds = 300.; head_seconds = 120. }

let answer request =
  match (Server.meth request, Server.path request) with
  | _, "/capitals" -> capitals request
  | _, "/length" ->
      Server.string
        (string_of_int (String.length (Server.body_string ~max:1_000_000 request)) ^ "\n")
  | `GET, "/pieces" ->
      Server.stream (fun sink -> List.iter (D.write_string sink) [ "one "; "after "; "another\n" ])
  | `POST, "/slow" ->
      print_endline "begun";
      (* The client ends its body when it has seen that the server stops. *)
      ignore (Server.body_string request);
      Server.string "done\n"
  | `GET, "/chat" ->
      Websocket.accept ~protocols:[ "chat" ] request @@ fun ws ->
      Websocket.iter
        (function
          | Text s -> Websocket.send ws (Text (String.uppercase_ascii s))
          | Binary _ as m -> Websocket.send ws m)
        ws
  | `GET, path -> Server.string (path ^ "\n")
  | _ -> Server.status `Method_not_allowed

let secure folder =
  let file name = folder ^ "/soil.test." ^ name in
  Soil_tls.server_config (Soil_tls.Files.certificates [ (file "pem", file "key") ])

let () =
  Soil.run @@ fun () ->
  let config = secure Sys.argv.(1) in
  let plain = Soil.Tcp.listen ~port:8000 () and tls = Soil.Tcp.listen ~port:8443 () in
  Soil.Net.wait_up ();
  print_endline "ready";
  Soil.Task.iter
    (fun (secure, listener) -> Server.serve ~limits ?secure ~grace:60. listener answer)
    [ (None, plain); (Some (Soil_tls.server config), tls) ]
