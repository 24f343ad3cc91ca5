(* A proxy between clients and backends that do what they shouldn't, over pipes. *)
open Check
open Test_proxy
module T = Soil.Task

(* [f ()], which a mistake would make wait for ever. *)
let soon f = T.timeout 20. f

(* The head of a request, up to the empty line. *)
let skip_head d =
  let r = Soil.Reader.create d in
  let rec skip () = if Soil.Reader.line r <> "" then skip () in
  try skip () with End_of_file -> ()

let head_then text d =
  skip_head d;
  D.write_string d text;
  ignore (D.read_all d)

(* Connections *)

let keeps_connections () =
  let opened = ref 0 in
  let handler request =
    match Server.path request with
    | "/304" -> Server.status `Not_modified
    | "/204" -> Server.status `No_content
    | "/empty" -> Server.string ""
    | _ -> Server.string "text"
  in
  let serve _ =
    incr opened;
    Some (fun d -> Server.connection d handler)
  in
  with_backends serve [ "http://a" ] @@ fun proxy ->
  List.iter
    (fun (wanted, request) -> string request wanted (status_of proxy request))
    [
      ("304", get "/304");
      ("204", get "/204");
      ("200", get "/empty");
      ("200", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
      ("200", get "/");
    ];
  int "connections" 1 !opened

(* A response without a request goes to no client. *)
let stray_response () =
  let text body = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" ^ body in
  let sent = T.Condition.create () in
  let serve _ =
    Some
      (fun d ->
        skip_head d;
        D.write_string d (text "asked");
        Soil.Clock.sleep 0.02;
        D.write_string d (text "stray");
        T.Condition.broadcast sent;
        ignore (D.read_all d))
  in
  with_backends serve [ "http://a" ] @@ fun proxy ->
  for _ = 1 to 3 do
    let text = asked proxy (get "/") in
    bool "its own" true (String.ends_with ~suffix:"asked" text);
    soon (fun () -> T.Condition.wait_no_mutex sent)
  done

(* The backend answers before the client has sent its body. *)
let early_answer () =
  let serve _ = Some (head_then "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") in
  with_backends serve [ "http://a" ] @@ fun proxy ->
  let client, server = Soil.Flow.pair () in
  let serve () =
    Fun.protect
      ~finally:(fun () -> D.close server)
      (fun () -> Server.connection server (Proxy.handle proxy))
  in
  let ask () =
    D.write_string client "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n";
    D.write_string client (String.make 100 'x');
    let r = Soil.Reader.create client in
    let rec rest () = if Soil.Reader.line r <> "" then rest () in
    let answer what =
      string what "HTTP/1.1 200 OK" (Soil.Reader.line r);
      rest ();
      string what "ok" (Soil.Reader.take r 2)
    in
    answer "early";
    D.write_string client (String.make 19_900 'x' ^ get "/");
    answer "the next one";
    D.close client
  in
  ignore (soon (fun () -> T.both serve ask))

(* Fields *)

let length_of_nothing () =
  let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" in
  let check field =
    let text = "HTTP/1.1 200 OK\r\n" ^ field ^ "\r\n\r\n" in
    with_backends (fun _ -> canned text) [ "http://a" ] @@ fun proxy ->
    let text = asked proxy head in
    string field "200" (status text);
    bool field false (is_in text "content-length")
  in
  List.iter check
    [
      "content-length: -5";
      "content-length: 0x10";
      "content-length: 9999999999999999999999";
      "content-length: 1\r\ncontent-length: 2";
    ]

(* Upgrades *)

let upgrading ?(body = "") protocol =
  "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " ^ protocol
  ^ "\r\nHTTP2-Settings: AAMAAABk\r\n" ^ body

(* In a tunnel of HTTP/2, requests would pass that no server has seen. *)
let other_upgrades () =
  let check what request =
    let seen = seen_of (fun proxy -> string what "200" (status_of proxy request)) in
    int what 1 (List.length seen);
    bool what false (List.exists (fun line -> is_in line "upgrade=") seen)
  in
  check "h2c" (upgrading "h2c\r\n");
  check "both" (upgrading "websocket, h2c\r\n");
  check "with a body"
    (upgrading "websocket" ~body:("Transfer-Encoding: chunked\r\n\r\n" ^ "3\r\nabc\r\n0\r\n\r\n"))

let another_protocol () =
  List.iter
    (fun field ->
      let text = "HTTP/1.1 101 Go\r\nconnection: upgrade\r\n" ^ field ^ "\r\n" in
      with_backends (fun _ -> Some (head_then text)) [ "http://a" ] @@ fun proxy ->
      string field "502" (status_of proxy (upgrading "websocket\r\n")))
    [ "upgrade: h2c\r\n"; "" ]

(* The backend of a tunnel learns at once that its client has gone. *)
let lost_client () =
  let ended = T.Promise.create () in
  let serve _ =
    Some
      (fun d ->
        head_then "HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" d;
        T.Promise.fulfil ended ())
  in
  with_backends serve [ "http://a" ] @@ fun proxy ->
  let request = ref (upgrading "websocket\r\n") in
  let read b off len =
    if !request = "" then (
      Soil.Clock.sleep 0.02;
      Soil.Error.fail Connection_reset "read" ~subject:"client" ~detail:"");
    let n = min len (String.length !request) in
    Bytes.blit_string !request 0 b off n;
    request := String.sub !request n (String.length !request - n);
    n
  in
  let client =
    Soil.Flow.make ~name:"client" ~read ~write:(fun _ _ len -> len) ~shutdown:ignore ()
  in
  soon (fun () ->
      Server.connection client (Proxy.handle proxy);
      T.Promise.await ended)

(* Backends *)

let two_gates () =
  let a = T.Promise.create () and b = T.Promise.create () in
  let busy = ref [] in
  let handler host request =
    if Server.path request = "/slow" then (
      busy := host :: !busy;
      T.Promise.await (if host = "a" then a else b));
    Server.string host
  in
  (a, b, busy, handler)

let until condition =
  while not (condition ()) do
    Soil.Clock.sleep 0.001
  done

(* A task that waits for the end of draining takes no place from a request that waits. *)
let drain_beside_waiters () =
  let a, b, busy, handler = two_gates () in
  with_handler ~max_requests:1 ~wait_seconds:60. handler [ "http://a"; "http://b" ] @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let ask path = T.spawn scope (fun () -> status_of proxy (get path)) in
  let slow = List.init 2 (fun _ -> ask "/slow") in
  until (fun () -> List.length !busy = 2);
  ignore (T.spawn scope (fun () -> Proxy.drain proxy (uri "http://b")));
  T.yield ();
  let waiting = ask "/" in
  Soil.Clock.sleep 0.02;
  T.Promise.fulfil a ();
  string "gets the place" "200" (T.await waiting);
  T.Promise.fulfil b ();
  strings "the slow ones" [ "200"; "200" ] (List.map T.await slow)

let add_while_draining () =
  let a, _, busy, handler = two_gates () in
  let is_well = ref true in
  let handler host request =
    if Server.path request = "/health" && not !is_well then Server.status `Internal_server_error
    else handler host request
  in
  let health = { Proxy.path = "/health"; interval = 0.005; fall = 1; rise = 1 } in
  with_handler ~health handler [ "http://a" ] @@ fun proxy ->
  let states () = List.map (fun (_, state, n) -> (state, n)) (Proxy.backends proxy) in
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let slow = T.spawn scope (fun () -> status_of proxy (get "/slow")) in
  until (fun () -> !busy <> []);
  let drain = T.spawn scope (fun () -> Proxy.drain proxy (uri "http://a")) in
  until (fun () -> states () = [ (Draining, 1) ]);
  Soil.Clock.sleep 0.05;
  Proxy.add proxy (uri "http://a");
  T.await drain;
  bool "added" true (states () = [ (Up, 1) ]);
  T.Promise.fulfil a ();
  string "the slow one" "200" (T.await slow);
  bool "stays" true (states () = [ (Up, 0) ]);
  is_well := false;
  until (fun () -> states () = [ (Down, 0) ])

(* Time *)

(* The time of a body is that between its pieces: events may go on for days. *)
let slow_events () =
  let handler _ _ =
    Server.stream (fun sink ->
        for _ = 1 to 8 do
          D.write_string sink "event\n";
          Soil.Clock.sleep 0.2
        done)
  in
  let limits = { Client.default_limits with body_seconds = 1. } in
  let serve host = Some (fun d -> Server.connection d (handler host)) in
  with_backends ~limits serve [ "http://a" ] @@ fun proxy ->
  bool "to their end" true (String.ends_with ~suffix:"0\r\n\r\n" (asked proxy (get "/")))

let silent_body () =
  let text = "HTTP/1.1 200 OK\r\ncontent-length: 50000\r\n\r\nhello" in
  let limits = { Client.default_limits with body_seconds = 0.05 } in
  with_backends ~limits (fun _ -> Some (head_then text)) [ "http://a" ] @@ fun proxy ->
  match soon (fun () -> asked proxy (get "/")) with
  | text -> bool "cut" true (String.length text < 1000)
  | exception Client.Failed (_, Too_slow) -> ()

(* A tunnel in which nothing is sent has an end. *)
let silent_tunnel () =
  let text = "HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" in
  with_backends ~tunnel_seconds:0.05 (fun _ -> Some (head_then text)) [ "http://a" ] @@ fun proxy ->
  let answer () = answers ~shut:false (Proxy.handle proxy) [ upgrading "websocket\r\n" ] in
  string "upgraded, then ended" "101" (status (soon answer))

(* One report of a failure is enough. *)
let reported_once () =
  let text = "HTTP/1.1 200 OK\r\ncontent-length: 50000\r\n\r\nhello" in
  let reports = ref 0 in
  let serve _ =
    Some
      (fun d ->
        skip_head d;
        D.write_string d text)
  in
  with_backends ~on_failure:(fun _ _ -> incr reports) serve [ "http://a" ] @@ fun proxy ->
  let text = asked proxy (get "/") in
  string "begun" "200" (status text);
  bool "cut" true (String.length text < 1000);
  int "reports" 1 !reports

(* Paths and fields *)

let climbing () =
  let up = [ "/../x"; "/a/%2e%2E/x"; "/a/..%2Fx"; "/a/..%5cx"; "/.."; "/a\\..\\x"; "/%zz" ] in
  let check uris wanted =
    with_handler (fun _ _ -> Server.string "") uris @@ fun proxy ->
    List.iter (fun path -> string path wanted (status_of proxy (get path))) up;
    List.iter
      (fun path -> string path "200" (status_of proxy (get path)))
      [ "/..x"; "/a/x..y"; "/a?../b"; "/%2ehidden" ]
  in
  check [ "http://a/base" ] "400";
  check [ "http://a" ] "200"

let invented_fields () =
  let fields =
    "X-Real-IP: 1\r\nX_Forwarded_For: 2\r\nx-forwarded_proto: 3\r\nX_Real-Ip: 4\r\nX_Y: 5\r\n"
  in
  let seen = seen_of (fun proxy -> ignore (asked proxy (get ~fields "/"))) in
  let has part = List.exists (fun line -> is_in (String.lowercase_ascii line) part) seen in
  List.iter (fun part -> bool part false (has part)) [ "=1 "; "=2 "; "=3 "; "=4 " ];
  bool "another name" true (has "x_y=5")

(* Backends at one address, of which one has all its requests. *)
let one_address () =
  let gate = T.Promise.create () in
  let handler _ request =
    if Server.path request = "/a/slow" then T.Promise.await gate;
    Server.string (Server.path request)
  in
  with_handler ~max_requests:1 ~wait_seconds:0.05 handler [ "http://h/b"; "http://h/a" ]
  @@ fun proxy ->
  let slow () = ignore (asked proxy (get "/slow")) in
  let others () =
    Soil.Clock.sleep 0.01;
    List.iter
      (fun _ -> string "beside it" "200" (soon (fun () -> status_of proxy (get "/"))))
      [ 1; 2; 3 ];
    T.Promise.fulfil gate ()
  in
  ignore (T.both slow others)

let tests =
  [
    in_run "connections are kept" keeps_connections;
    in_run "a stray response" stray_response;
    in_run "an early answer" early_answer;
    in_run "the length of nothing" length_of_nothing;
    in_run "other upgrades" other_upgrades;
    in_run "another protocol" another_protocol;
    in_run "a client that is lost" lost_client;
    in_run "draining beside waiters" drain_beside_waiters;
    in_run "a backend added while it drains" add_while_draining;
    in_run "slow events" slow_events;
    in_run "a silent body" silent_body;
    in_run "a silent tunnel" silent_tunnel;
    in_run "reported once" reported_once;
    in_run "paths above a backend's" climbing;
    in_run "invented fields" invented_fields;
    in_run "backends at one address" one_address;
  ]
