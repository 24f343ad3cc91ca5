(* Asks servers on the address given as first argument, for names that the authority in the folder
   given as second one has signed. *)

module D = Soil.File_descriptor
module Client = Soil_http.Client
module Websocket = Soil_http.Websocket

let megabyte = String.init 1_000_000 (fun i -> Char.chr (97 + (i mod 26)))
let say what text = print_endline (what ^ ": " ^ text)

let show what (response, body) =
  let code = Cohttp.Code.code_of_status (Cohttp.Response.status response) in
  say what (string_of_int code ^ " " ^ String.trim body)

let fails what f =
  match f () with
  | _ -> say what "no failure"
  | exception Client.Failed (_, problem) -> say what (Client.problem_to_string problem)
  | exception Soil.Error e -> say what (Soil.Error.message e.code)

let () =
  Soil.run @@ fun () ->
  let address = Sys.argv.(1) and roots = Soil_tls.Files.roots (Sys.argv.(2) ^ "/authority.pem") in
  (* All names are this address. *)
  let connect ~host:_ ~port =
    (Patience.insist (fun () -> Soil.Tcp.connect_host address ~port) :> D.flow)
  in
  let tls = Soil_tls.client (Soil_tls.client_config [ roots ]) in
  let client = Client.create ~connect ~tls () in
  let hasty = Client.create ~connect ~limits:{ Client.default_limits with head_seconds = 0.2 } () in
  let uri text = Uri.of_string text in
  let get text = Client.get client (uri text) in
  let pages = List.init 8 (fun i -> "http://soil.test:8000/page/" ^ string_of_int i) in
  List.iter (show "page") (Soil.Task.map ~max:4 get pages);
  List.iter (fun page -> ignore (get page)) pages;
  say "connections" (string_of_int (Client.opened client));
  show "pieces" (get "http://soil.test:8000/pieces");
  let _, body = Client.post client (uri "http://soil.test:8000/capitals") (String megabyte) in
  say "a megabyte" (string_of_bool (body = String.uppercase_ascii megabyte));
  let write sink = ignore (D.copy ~src:(Soil.Flow.of_string megabyte) ~dst:sink ()) in
  let _, body = Client.post client (uri "http://soil.test:8000/capitals") (Stream (None, write)) in
  say "in chunks" (string_of_bool (body = String.uppercase_ascii megabyte));
  show "a redirect" (get "http://soil.test:8000/redirect");
  fails "a loop" (fun () -> get "http://soil.test:8000/loop");
  fails "a cut body" (fun () -> get "http://soil.test:8000/cut");
  fails "silence" (fun () -> Client.get hasty (uri "http://soil.test:8000/silence"));
  fails "no server" (fun () -> get "http://soil.test:8001/");
  show "over TLS" (get "https://soil.test:8443/page/tls");
  fails "down to http" (fun () -> get "https://soil.test:8443/redirect");
  fails "another name" (fun () -> get "https://other.example:8443/");
  Websocket.Client.connect client (uri "ws://soil.test:8002/chat") ~protocols:[ "chat" ] (fun ws ->
      say "protocol" (Option.value (Websocket.protocol ws) ~default:"none");
      Websocket.send ws (Text "text");
      Websocket.send ws (Binary megabyte);
      let show = function
        | Some (Websocket.Text s) -> "text " ^ s
        | Some (Binary s) -> "binary, the same: " ^ string_of_bool (s = megabyte)
        | None -> "the end"
      in
      for _ = 1 to 3 do
        say "message" (show (Websocket.receive ws))
      done;
      match Websocket.closed_by_peer ws with
      | Some (code, reason) -> say "closed" (string_of_int code ^ " " ^ reason)
      | None -> ());
  Client.close client;
  print_endline "done"
