(* Requests to the server over a pair of pipes: no network is needed. *)
module D = Soil.File_descriptor

let ask request =
  let client, server = Soil.Flow.pair () in
  let serve () =
    Soil_http.Server.connection server Site.answer;
    D.shutdown server `Send
  in
  let ask () =
    D.write_string client (request ^ "Host: test\r\n\r\n");
    (* The server waits for this at the end of a connection. *)
    D.shutdown client `Send;
    D.read_all client
  in
  snd (Soil.Task.both serve ask)

let check request ~status ~body =
  let answer = ask request in
  let starts = String.starts_with ~prefix:("HTTP/1.1 " ^ status) answer in
  if not (starts && String.ends_with ~suffix:("\r\n\r\n" ^ body) answer) then
    failwith (String.escaped request ^ " is answered by " ^ String.escaped answer)

let () =
  Soil.run @@ fun () ->
  check "GET / HTTP/1.1\r\n" ~status:"200" ~body:"hello\n";
  check "GET /hello/a%20friend HTTP/1.1\r\n" ~status:"200" ~body:"hello a friend\n";
  check "GET /nowhere HTTP/1.1\r\n" ~status:"404" ~body:"404 Not Found\n"
