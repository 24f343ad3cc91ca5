(* A client and a server in one process, over pipes; and servers that answer what they like. *)
open Check
module Client = Soil_http.Client
module H = Cohttp.Header

(* [f client] with a client that is connected to [serve host port flow], which runs in a task. *)
let with_client ?limits ?max_connections ?max_redirects ?tls serve f =
  Soil.Task.scope @@ fun scope ->
  let connect ~host ~port =
    let client, server = Soil.Flow.pair () in
    let run () =
      Fun.protect ~finally:(fun () -> D.close server) (fun () -> serve host port (server :> D.flow))
    in
    ignore (Soil.Task.spawn_daemon scope run);
    (client :> D.flow)
  in
  let client = Client.create ?limits ?max_connections ?max_redirects ?tls ~connect () in
  Fun.protect ~finally:(fun () -> Client.close client) (fun () -> f client)

let with_server ?max_connections ?max_redirects ?tls handler =
  with_client ?max_connections ?max_redirects ?tls (fun host port d ->
      Server.connection d (handler host port))

let uri = Uri.of_string
let get ?headers client text = snd (Client.get ?headers client (uri text))

let field name (response : Cohttp.Response.t) =
  Option.value (H.get response.headers name) ~default:"none"

let show host port request =
  let head = Server.head request in
  let fields = List.map (fun (n, v) -> n ^ "=" ^ v) (H.to_list head.headers) in
  let body = Server.body_string request in
  Server.string
    (String.concat " "
       ([ host; string_of_int port; Cohttp.Code.string_of_method head.meth; head.resource ]
       @ List.filter (fun f -> f <> "user-agent=soil") fields
       @ [ "[" ^ body ^ "]" ]))

let requests () =
  with_server show @@ fun client ->
  string "a GET" "a.example 80 GET /x?y=1 host=a.example []" (get client "http://a.example/x?y=1");
  string "a plus" "a 80 GET /%2B%2B%20?x=%2B host=a []" (get client "http://a/+%2B%20?x=%2B");
  string "no path, a port, an address" "::1 8080 GET / host=[::1]:8080 []"
    (get client "http://[::1]:8080");
  string "fields" "a 80 GET / host=a x=1 []" (get client "http://a/" ~headers:(H.of_list [ ("x", "1"); ("Host", "evil") ]));
  string "a name and a password" "a 80 GET / host=a authorization=Basic dTpw []"
    (get client "http://u:p@a/");
  let post body = snd (Client.post client (uri "http://a/") body) in
  string "a string" "a 80 POST / host=a content-length=5 [hello]" (post (String "hello"));
  string "nothing" "a 80 POST / host=a content-length=0 []" (post Empty);
  let write sink = D.write_string sink "by "; D.write_string sink "pieces" in
  string "a stream" "a 80 POST / host=a transfer-encoding=chunked [by pieces]" (post (Stream (None, write)));
  string "with a length" "a 80 POST / host=a content-length=9 [by pieces]" (post (Stream (Some 9, write)));
  let large = String.make 1_000_000 'l' in
  int "a long string" (1_000_000 + 44)
    (String.length (snd (Client.post client (uri "http://a/") (String large))));
  int "one connection for each host" 3 (Client.opened client)
[@@ocamlformat "disable"]

let pool () =
  with_server show @@ fun client ->
  for _ = 1 to 5 do ignore (get client "http://a/") done;
  int "one after the other, one connection" 1 (Client.opened client);
  ignore (Soil.Task.map (fun _ -> get client "http://a/") [ 1; 2; 3 ]);
  int "three at once" 3 (Client.opened client);
  int "all are kept" 3 (Client.idle client);
  ignore (get client "http://b/");
  int "another host" 4 (Client.opened client);
  Soil.Task.scope (fun scope -> bool "owned" true (Client.own scope client == client));
  int "closed" 0 (Client.idle client);
  string "and it still works" "a 80 GET / host=a []" (get client "http://a/")
[@@ocamlformat "disable"]

let bounded_pool () =
  let busy = ref 0 and most = ref 0 in
  let handler _ _ _ =
    incr busy;
    most := max !most !busy;
    Soil.Clock.sleep 0.001;
    decr busy;
    Server.string "done"
  in
  with_server ~max_connections:2 handler @@ fun client ->
  ignore (Soil.Task.map (fun _ -> get client "http://a/") (List.init 10 Fun.id));
  int "at once" 2 !most;
  int "connections" 2 (Client.opened client)

let closes () =
  let handler _ _ _ = Server.string ~headers:(H.init_with "connection" "close") "bye" in
  with_server handler @@ fun client ->
  string "first" "bye" (get client "http://a/");
  int "not kept" 0 (Client.idle client);
  string "second" "bye" (get client "http://a/");
  int "two" 2 (Client.opened client)

let fails_with wanted f =
  match f () with
  | _ -> Alcotest.fail "no failure"
  | exception Client.Failed (_, problem) ->
      string "problem" (Client.problem_to_string wanted) (Client.problem_to_string problem)

(* A server that answers [text] to each connection's first request, and then closes. *)
let canned text _ _ d =
  let r = Soil.Reader.create d in
  let rec skip () = if Soil.Reader.line r <> "" then skip () in
  match skip () with
  | () ->
      D.write_string d text;
      D.shutdown d `Send
  | exception End_of_file -> ()

let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

let stale () =
  with_client (canned ok) @@ fun client ->
  string "first" "hello" (get client "http://a/");
  Soil.Task.yield ();
  string "the server closed it meanwhile" "hello" (get client "http://a/");
  let post () = snd (Client.post client (uri "http://a/") (String "once")) in
  Soil.Task.yield ();
  string "a POST, too, has a new one" "hello" (post ());
  int "each its own" 3 (Client.opened client)

(* A server that ends each connection at its second request, which it has read. *)
let forgetful _ _ d =
  let r = Soil.Reader.create d in
  let rec skip () = if Soil.Reader.line r <> "" then skip () in
  match
    skip ();
    D.write_string d ok;
    skip ()
  with
  | () | (exception End_of_file) -> ()

let repeated () =
  with_client forgetful @@ fun client ->
  string "first" "hello" (get client "http://a/");
  string "a GET is sent again" "hello" (get client "http://a/");
  int "on another connection" 2 (Client.opened client);
  fails_with Truncated (fun () -> Client.post client (uri "http://a/") (String ""));
  int "and a POST isn't" 2 (Client.opened client)

let framings () =
  let answers text =
    with_client (canned text) @@ fun client -> get client "http://a/"
  in
  string "until the end" "hello" (answers "HTTP/1.1 200 OK\r\n\r\nhello");
  string "1.0" "hello" (answers "HTTP/1.0 200 OK\r\n\r\nhello");
  string "chunks" "hello" (answers "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n");
  string "interim responses" "hello" (answers ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n" ^ ok));
  string "no phrase" "" (answers "HTTP/1.1 204\r\n\r\n")
[@@ocamlformat "disable"]

let malformed () =
  List.iter
    (fun (text, wanted) ->
      with_client (canned text) @@ fun client ->
      fails_with wanted (fun () -> get client "http://a/"))
    [
      ("nonsense\r\n\r\n", Client.Malformed);
      ("HTTP/1.1 OK 200\r\n\r\n", Malformed);
      ("HTTP/1.1 99 X\r\n\r\n", Malformed);
      ("HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello", Malformed);
      ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", Malformed);
      ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Malformed);
      ("HTTP/1.1 099 OK\r\n\r\n", Malformed);
      ("HTTP/1.1 2000 OK\r\n\r\n", Malformed);
      ("HTTP/1.1 200 OK\r\n X: y\r\n\r\n", Malformed);
      ("HTTP/1.1 200 OK\r\nX y: z\r\n\r\n", Malformed);
      ("HTTP/1.1 200 OK\r\n : y\r\n\r\n", Malformed);
      ("HTTP/1.1 200 OK\r\nX: y\r\n" ^ String.concat "" (List.init 200 (fun _ -> " z\r\n")) ^ "\r\n", Too_large);
      ("HTTP/1.1 200 OK\r\nContent-Length : 5\r\nContent-Length: 6\r\n\r\nhello", Malformed);
      ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n 6\r\n\r\nhello", Malformed);
      ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding :\r\n chunked\r\n\r\n0\r\n\r\n", Malformed);
      ("HTTP/1.1 200 OK\r\nX: " ^ String.make 20_000 'x' ^ "\r\n\r\n", Too_large);
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Malformed);
      ("HTTP/1.1 200 OK\r\nContent-Le", Malformed);
      ("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", Truncated);
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Truncated);
      ("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nhello", Truncated);
      ("", Truncated);
    ]
[@@ocamlformat "disable"]

(* What no request may have, and some servers send (RFC 9112 §5.1 and §5.2, RFC 9110 §15). *)
let tolerated () =
  let asked text =
    with_client (canned text) @@ fun client ->
    let response, body = Client.get client (uri "http://a/") in
    let fields = List.map (fun (n, v) -> n ^ "=" ^ v) (H.to_list response.headers) in
    String.concat " " (string_of_int (Cohttp.Code.code_of_status response.status) :: fields)
    ^ " [" ^ body ^ "]"
  in
  string "folded" "200 X=a b c Y=d Content-Length=5 [hello]"
    (asked
       "HTTP/1.1 200 OK\r\n\
        X: a \r\n\
       \  b\r\n\
        \tc\r\n\
        Y:\r\n\
       \ d\r\n\
       \ \r\n\
        Content-Length:\r\n\
       \ 5\r\n\
        \r\n\
        hello");
  string "white space before the colon" "200 X=y Content-Length=5 [hello]"
    (asked "HTTP/1.1 200 OK\r\nX \t: y\r\nContent-Length : 5\r\n\r\nhello");
  string "an invalid status" "999 Content-Length=5 [hello]"
    (asked "HTTP/1.1 999 Request denied\r\nContent-Length: 5\r\n\r\nhello");
  string "another" "600 Content-Length=0 []" (asked "HTTP/1.1 600\r\nContent-Length: 0\r\n\r\n")

let limited () =
  let small = { Client.default_limits with body_bytes = 4 } in
  let quick = { Client.default_limits with head_seconds = 0.05; body_seconds = 0.05 } in
  let fails limits wanted serve =
    with_client ~limits serve @@ fun client ->
    fails_with wanted (fun () -> get client "http://a/")
  in
  fails small Too_large (canned ok);
  fails quick Too_slow (fun _ _ _ -> Soil.Clock.sleep infinity);
  let half _ _ d =
    D.write_string d "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhe";
    Soil.Clock.sleep infinity
  in
  fails quick Too_slow half
[@@ocamlformat "disable"]

(* The limit is of the time without progress: this request takes three times as long. *)
let slow_upload () =
  let limits = { Client.default_limits with head_seconds = 0.2 } in
  let serve _ _ d = Server.connection d (fun r -> Server.string (Server.body_string r)) in
  with_client ~limits serve @@ fun client ->
  let write sink =
    for i = 1 to 6 do
      Soil.Clock.sleep 0.1;
      D.write_string sink (string_of_int i)
    done
  in
  let _, body = Client.post client (uri "http://a/") (Stream (None, write)) in
  string "all of it" "123456" body

(* Redirects *)

let redirects () =
  let handler host port request =
    match Server.path request with
    | "/301" -> Server.redirect ~status:`Moved_permanently "/end"
    | "/303" -> Server.redirect ~status:`See_other "end?q"
    | "/307" -> Server.redirect ~status:`Temporary_redirect "/end"
    | "/308" -> Server.redirect ~status:`Permanent_redirect "//other:81/end"
    | "/loop" -> Server.redirect "/loop"
    | "/ftp" -> Server.redirect "ftp://a/"
    | _ -> show host port request
  in
  with_server handler @@ fun client ->
  let headers =
    H.of_list [ ("authorization", "secret"); ("cookie", "c"); ("content-type", "t"); ("x", "y") ]
  in
  let post path =
    snd (Client.request client ~headers ~body:(String "hi") `POST (uri ("http://a" ^ path)) (fun r s -> (r, D.read_all s)))
  in
  string "301 of a POST" "a 80 GET /end host=a authorization=secret cookie=c x=y []" (post "/301");
  string "303" "a 80 GET /end?q host=a authorization=secret cookie=c x=y []" (post "/303");
  string "307" "a 80 POST /end host=a authorization=secret cookie=c content-type=t x=y content-length=2 [hi]" (post "/307");
  string "308 to another host" "other 81 POST /end host=other:81 content-type=t x=y content-length=2 [hi]" (post "/308");
  string "a password stays where it is" "other 81 GET /end host=other:81 []" (get client "http://u:p@a/308");
  fails_with Too_many_redirects (fun () -> get client "http://a/loop");
  fails_with Not_supported (fun () -> get client "http://a/ftp");
  fails_with Not_supported (fun () -> get client "https://a/");
  let stream = Client.Stream (None, fun sink -> D.write_string sink "hi") in
  let response, _ = Client.post client (uri "http://a/307") stream in
  string "a stream isn't sent twice" "/end" (field "location" response);
  with_server ~max_redirects:0 handler @@ fun client ->
  let response, _ = Client.get client (uri "http://a/301") in
  string "none is followed" "/end" (field "location" response)
[@@ocamlformat "disable"]

(* What proves who one is goes to the same scheme, host and port alone. *)
let credentials () =
  let handler host port request =
    match String.split_on_char '?' (Server.head request).resource with
    | [ "/to"; target ] -> Server.redirect ~status:`Temporary_redirect target
    | _ -> show host port request
  in
  let tls ~host:_ (d : D.flow) = d in
  with_server ~tls handler @@ fun client ->
  let secrets = [ ("authorization", "s"); ("cookie", "c"); ("proxy-authorization", "p") ] in
  let headers = H.of_list (secrets @ [ ("x", "y") ]) in
  List.iter
    (fun (from, target, there, is_same) ->
      let shown = List.map (fun (name, value) -> " " ^ name ^ "=" ^ value) secrets in
      let shown = if is_same then String.concat "" shown else "" in
      string
        (from ^ " to " ^ target)
        (there ^ shown ^ " x=y []")
        (get client ~headers (from ^ "/to?" ^ target)))
    [
      ("http://a", "/end", "a 80 GET /end host=a", true);
      ("http://a", "http://A:80/end", "a 80 GET /end host=a", true);
      ("http://a:81", "/end", "a 81 GET /end host=a:81", true);
      ("http://a", "http://a:81/end", "a 81 GET /end host=a:81", false);
      ("http://a:81", "http://a/end", "a 80 GET /end host=a", false);
      ("http://a", "http://b/end", "b 80 GET /end host=b", false);
      ("http://a", "http://b.a/end", "b.a 80 GET /end host=b.a", false);
      ("http://a", "https://a/end", "a 443 GET /end host=a", false);
      ("http://a:443", "https://a/end", "a 443 GET /end host=a", false);
      ("https://a", "https://a:443/end", "a 443 GET /end host=a", true);
    ]

let secure () =
  let hosts = ref [] in
  let tls ~host (d : D.flow) =
    hosts := host :: !hosts;
    Soil.Flow.make ~read:(D.read d) ~write:(D.write_some d) ~shutdown:(D.shutdown d)
      ~close:(fun () -> D.close d)
      ()
  in
  let handler host port request =
    match Server.path request with
    | "/down" -> Server.redirect "http://a/"
    | _ -> show host port request
  in
  with_server ~tls handler @@ fun client ->
  string "port 443" "a 443 GET / host=a []" (get client "https://a/");
  strings "the session's host" [ "a" ] !hosts;
  fails_with Insecure_redirect (fun () -> get client "https://a/down");
  string "http is another connection" "a 80 GET / host=a []" (get client "http://a/")

(* The response begins before the request has ended, and each side sends as the other does. *)
let both_ways () =
  let echo _ _ request =
    let body = Server.body request in
    Server.stream (fun sink -> ignore (D.copy ~src:body ~dst:sink ()))
  in
  with_server echo @@ fun client ->
  let words = Soil.Task.Stream.create 0 in
  let write sink = Soil.Task.Stream.iter (D.write_string sink) words in
  Client.request client ~body:(Stream (None, write)) `POST (uri "http://a/") @@ fun _ source ->
  let r = Soil.Reader.create source in
  List.iter
    (fun word ->
      Soil.Task.Stream.push words (word ^ "\n");
      string "comes back at once" word (Soil.Reader.line r))
    [ "one"; "two"; "three" ];
  Soil.Task.Stream.close words;
  bool "the end" true (Soil.Reader.at_end r)

exception Mistake

let mistakes () =
  with_server show @@ fun client ->
  let fails f = match f () with _ -> Alcotest.fail "no exception" | exception Mistake -> () in
  let broken = Client.Stream (None, fun _ -> raise Mistake) in
  fails (fun () -> Client.post client (uri "http://a/") broken);
  fails (fun () -> Client.request client `GET (uri "http://a/") (fun _ _ -> raise Mistake));
  int "such connections aren't kept" 0 (Client.idle client)

let refused_early () =
  let refuse _ _ _ = raise (Server.Refused `Forbidden) in
  with_server refuse @@ fun client ->
  let response, _ = Client.post client (uri "http://a/") (String (String.make 3_000_000 'x')) in
  int "a response to a request that wasn't read" 403 (Cohttp.Code.code_of_status response.status)

(* A server that answers [text] to each request. *)
let canned_always text _ _ d =
  let r = Soil.Reader.create d in
  let rec go () =
    if Soil.Reader.line r <> "" then go ()
    else (
      D.write_string d text;
      go ())
  in
  try go () with End_of_file -> ()

let left_over () =
  let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" in
  let next what text meth =
    with_client (canned_always text) @@ fun client ->
    let first = Client.request client meth (uri "http://a/") (fun _ s -> D.read_all s) in
    int (what ^ ": not kept") 0 (Client.idle client);
    let second = Client.request client meth (uri "http://a/") (fun _ s -> D.read_all s) in
    string what first second;
    int (what ^ ": a connection for each") 2 (Client.opened client)
  in
  next "a second response" (ok ^ evil) `GET;
  next "a body to HEAD" (ok ^ evil) `HEAD;
  next "a body of 204" ("HTTP/1.1 204 No Content\r\n\r\n" ^ evil) `GET;
  next "a body of 304" ("HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n" ^ evil) `GET

(* The time that a response had is no matter of the connection's next one. *)
let late () =
  let limits = { Client.default_limits with body_seconds = 0.01; idle_seconds = patience } in
  with_client ~limits (canned_always ok) @@ fun client ->
  for _ = 1 to 3 do
    string "each has its own time" "hello" (get client "http://a/");
    Soil.Clock.sleep 0.02
  done;
  int "on one connection" 1 (Client.opened client);
  int "which is kept" 1 (Client.idle client)

(* What [f] returns counts, whatever becomes of a body that it didn't read. *)
let not_wanted () =
  let limits = { Client.default_limits with body_seconds = infinity } in
  let status serve =
    with_client ~limits serve @@ fun client ->
    let status = Client.request client `GET (uri "http://a/") (fun r _ -> field "x" r) in
    int "not kept" 0 (Client.idle client);
    status
  in
  let half = "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 6\r\n\r\nhello" in
  string "it is cut" "y" (status (canned half));
  string "a chunk is cut" "y"
    (status (canned "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"));
  string "it doesn't come" "y" (status (canned_always half))

(* A flow of any kind is a connection. *)
let any_flow () =
  let server, client = Soil.Flow.pair () in
  D.write_string server ok;
  let client = Client.create ~connect:(fun ~host:_ ~port:_ -> client) () in
  string "over a pair" "hello" (get client "http://a/")

let unread () =
  let handler _ _ _ = Server.string (String.make 1_000_000 'x') in
  with_server handler @@ fun client ->
  Client.request client `GET (uri "http://a/") (fun _ _ -> ());
  int "a long body that wasn't read" 0 (Client.idle client)

let tests =
  [
    in_run "requests have the fields that they need" requests;
    in_run "connections are used again" pool;
    in_run "a host has a limited number of connections" bounded_pool;
    in_run "a connection that the server closes isn't kept" closes;
    in_run "a connection that was closed meanwhile is replaced" stale;
    in_run "a request without a response is sent again if it may be" repeated;
    in_run "bodies end as the head says" framings;
    in_run "tolerated responses" tolerated;
    in_run "malformed and cut responses are refused" malformed;
    in_run "responses have limits" limited;
    in_run "a request may take longer than its response" slow_upload;
    in_run "redirects are followed within limits" redirects;
    in_run "credentials stay where they belong" credentials;
    in_run "https takes the session of the program" secure;
    in_run "both bodies flow at the same time" both_ways;
    in_run "mistakes of the program come through" mistakes;
    in_run "a response may come before the request was read" refused_early;
    in_run "a body that wasn't read ends its connection" unread;
    in_run "what is behind a response isn't the next one" left_over;
    in_run "a kept connection has no time of the request before" late;
    in_run "a body that isn't wanted loses no result" not_wanted;
    in_run "any flow is a connection" any_flow;
  ]
