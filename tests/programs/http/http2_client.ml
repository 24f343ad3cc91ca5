(* Asks the servers on the address given as first argument, for names that the authority in the
   folder given as second one has signed, over HTTP/2: each PORT:SCHEME that follows. *)

module D = Soil.File_descriptor
module Client = Soil_http.Client
module Http2 = Soil_http.Http2
module H = Cohttp.Header

let megabyte = String.init 1_000_000 (fun i -> Char.chr (97 + (i mod 26)))
let say what text = print_endline (what ^ ": " ^ text)

let () =
  Soil.run @@ fun () ->
  let address = Sys.argv.(1) and roots = Soil_tls.Files.roots (Sys.argv.(2) ^ "/authority.pem") in
  let connect ~host:_ ~port =
    (Patience.insist (fun () -> Soil.Tcp.connect_host address ~port) :> D.flow)
  in
  let tls = Soil_tls.client (Soil_tls.client_config ~protocols:[ "h2"; "http/1.1" ] [ roots ]) in
  let ask server =
    let scheme, port = Scanf.sscanf server "%d:%s" (fun port scheme -> (scheme, port)) in
    let protocol = if scheme = "https" then Some Soil_tls.protocol else None in
    let client = Client.create ~connect ~tls ~http2:(Http2.client ?protocol ()) () in
    let uri path = Uri.of_string (Printf.sprintf "%s://soil.test:%d%s" scheme port path) in
    let show (response, body) =
      Printf.sprintf "%s %d %s"
        (Cohttp.Code.string_of_version (Cohttp.Response.version response))
        (Cohttp.Code.code_of_status (Cohttp.Response.status response))
        (String.trim body)
    in
    let get path = Client.get client (uri path) in
    say server (show (get "/page/0"));
    let pages = List.init 100 (fun i -> Printf.sprintf "/page/%d" i) in
    let right path = String.ends_with ~suffix:(path ^ "\n") (snd (get path)) in
    let count = List.length (List.filter Fun.id (Soil.Task.map right pages)) in
    say "at once" (Printf.sprintf "%d on %d" count (Client.opened client));
    let response, body = Client.post client (uri "/capitals") (String megabyte) in
    let same = body = String.uppercase_ascii megabyte in
    say "a megabyte" (if same then "true" else show (response, body));
    (match get "/reset" with
    | answer -> say "reset" (show answer)
    | exception Client.Failed (_, problem) -> say "reset" (Client.problem_to_string problem)
    | exception Soil.Error e -> say "reset" (Soil.Error.message e.code));
    say "after it" (show (get "/page/1"))
  in
  List.iter ask (List.tl (List.tl (List.tl (Array.to_list Sys.argv))))
