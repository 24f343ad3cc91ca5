(* What the servers of HTTP answer. *)

module D = Soil.File_descriptor
module Server = Soil_http.Server
module Websocket = Soil_http.Websocket

let large = 1 lsl 26
let large_text = String.make 1_000_000 'l'

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
  | `GET, "/trailers" ->
      let trailers () = Cohttp.Header.of_list [ ("sum", "3") ] in
      Server.stream ~trailers (fun sink -> D.write_string sink "one two\n")
  | `GET, "/hints" ->
      Server.early_hints request (Cohttp.Header.init_with "link" "</style.css>; rel=preload");
      Server.string "hinted\n"
  | `GET, "/hang" ->
      (try Soil.Clock.sleep infinity
       with Soil.Task.Cancelled as e ->
         print_endline "cancelled";
         raise e);
      Server.string ""
  | `GET, "/memory" ->
      (* The bytes of values that live, those that peers take by the budget, and the peers. *)
      let live = 8 * (Gc.stat ()).live_words
      and { Soil.Budget.held; peers; _ } = Soil.Budget.statistics () in
      Server.string (Printf.sprintf "%d %d %d" live held peers)
  | _, "/wait" ->
      Soil.Clock.sleep infinity;
      Server.string ""
  | `GET, "/large" -> Server.string large_text
  | `GET, path -> Server.string (path ^ "\n")
  | _ -> Server.status `Method_not_allowed

let secure ?protocols folder =
  let file name = folder ^ "/soil.test." ^ name in
  Soil_tls.server_config ?protocols (Soil_tls.Files.certificates [ (file "pem", file "key") ])

(* On port 8000, and with TLS on 8443, with the certificate in the folder given as argument. *)
let serve ?protocols ?http2 () =
  Soil.run @@ fun () ->
  let config = secure ?protocols Sys.argv.(1) in
  let plain = Soil.Tcp.listen ~port:8000 () and tls = Soil.Tcp.listen ~port:8443 () in
  Soil.Net.wait_up ();
  print_endline "ready";
  Soil.Task.iter
    (fun (secure, listener) -> Server.serve ~limits ?secure ?http2 ~grace:60. listener answer)
    [ (None, plain); (Some (Soil_tls.server config), tls) ]
