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
    D.write_string client "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n";
    D.write_string client (String.make 20_000 'x');
    let r = Soil.Reader.create client in
    let rec rest () = if Soil.Reader.line r <> "" then rest () in
    let answer what =
      string what "HTTP/1.1 200 OK" (Soil.Reader.line r);
      rest ();
      string what "ok" (Soil.Reader.take r 2)
    in
    answer "early";
    D.write_string client (String.make 20_000 'x' ^ get "/");
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
  let up =
    [
      "/../x"; "/a/%2e%2E/x"; "/a/..%2Fx"; "/a/..%5cx"; "/.."; "/a\\..\\x"; "/%zz"; "/..;/x"; "/..;a=b/x";
      "/a/%2e%2e;/x"; "/%2e%2e%3bx/y"; "/a\\..;x"; "/..%00/x"; "/..%20/x"; "/%252e%252e/x"; "/..%252fx";
      "/%252e%252e%253b/x"; "/%c0%ae%c0%ae/x"; "/..%c0%afx";
    ] [@ocamlformat "disable"]
  in
  let check uris wanted =
    with_handler (fun _ _ -> Server.string "") uris @@ fun proxy ->
    List.iter (fun path -> string path wanted (status_of proxy (get path))) up;
    List.iter
      (fun path -> string path "200" (status_of proxy (get path)))
      [
        "/..x";
        "/a/x..y";
        "/a?../b";
        "/%2ehidden";
        "/a;..";
        "/...;/x";
        "/a;x=%2e%2e";
        "/%25";
        "/%C3%A9";
      ]
  in
  check [ "http://a/base" ] "400";
  check [ "http://a" ] "200"

let invented_fields () =
  let fields =
    "X-Real-IP: 1\r\n\
     X_Forwarded_For: 2\r\n\
     x-forwarded_proto: 3\r\n\
     X_Real-Ip: 4\r\n\
     Content_Length: 12\r\n\
     Transfer_Encoding: chunked\r\n\
     Proxy_Authorization: 13\r\n\
     Keep_Alive: 14\r\n\
     X_Y: 5\r\n\
     Connection: X-Hop, keep-alive\r\n\
     X_Hop: 15\r\n"
  in
  let seen = seen_of (fun proxy -> ignore (asked proxy (get ~fields "/"))) in
  let has part = List.exists (fun line -> is_in (String.lowercase_ascii line) part) seen in
  List.iter
    (fun part -> bool part false (has part))
    [ "=1 "; "=2 "; "=3 "; "=4 "; "=12 "; "=chunked"; "=13 "; "=14 "; "=15 " ];
  bool "another name" true (has "x_y=5");
  let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nKeep_Alive: 1\r\nX_Y: 2\r\n\r\nok" in
  with_backends (fun _ -> canned answer) [ "http://a" ] @@ fun proxy ->
  let text = asked proxy (get "/") in
  bool "of a response" false (is_in text "Keep_Alive");
  bool "another of it" true (is_in text "X_Y: 2")

(* What a client leaves open hides nothing that the proxy adds. *)
let open_quotes () =
  let added name fields =
    let seen = seen_of (fun proxy -> string fields "200" (status_of proxy (get ~fields "/"))) in
    let line = List.hd seen in
    let prefix = " " ^ name ^ "=" in
    let rec find i =
      if String.sub line i (String.length prefix) = prefix then i else find (i + 1)
    in
    let from = find 0 + String.length prefix in
    String.sub line from (min 22 (String.length line - from))
  in
  List.iter
    (fun value ->
      string value "for=unknown;host=a;pro" (added "forwarded" ("Forwarded: " ^ value ^ "\r\n")))
    [ "for=\"a"; "for=a, for=\"b, c"; "for=\"a\\"; "for=\"a\\\""; "for=a\\"; "for=(a" ];
  string "closed" "for=\"a,b\\\"\", for=unkno" (added "forwarded" "Forwarded: for=\"a,b\\\"\"\r\n");
  string "one of two" "for=b, for=unknown;hos"
    (added "forwarded" "Forwarded: for=\"a\r\nForwarded: for=b\r\n");
  string "a comment" "1.1 soil []" (added "via" "Via: 1.1 x (open\r\n");
  string "two comments" "1.1 soil []" (added "via" "Via: 1.1 x (a (b)\r\n");
  string "a closed one" "1.1 x (a (b\\)) c), 1.1" (added "via" "Via: 1.1 x (a (b\\)) c)\r\n");
  let seen =
    seen_of (fun proxy -> ignore (asked proxy (get ~fields:"X-Forwarded-For: \"a\r\n" "/")))
  in
  bool "an address" false (is_in (List.hd seen) "x-forwarded-for")

(* A page must not get the fields that are kept from it back as a body. *)
let traces () =
  List.iter
    (fun meth ->
      let ask proxy = status_of proxy (meth ^ " / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n") in
      strings meth [] (seen_of (fun proxy -> string meth "501" (ask proxy))))
    [ "TRACE"; "TRACK" ]

(* What no request may have, a response may (RFC 9112 §5.1 and §5.2): nothing of it is passed on. *)
let tolerated_responses () =
  let check what text wanted =
    with_backends (fun _ -> canned text) [ "http://a" ] @@ fun proxy ->
    string what wanted (plain (asked proxy (get "/")))
  in
  check "folded" "HTTP/1.1 200 OK\r\nX : a\r\n b\r\nContent-Length:\r\n\t2\r\n\r\nok"
    "HTTP/1.1 200 OK|X: a b|via: 1.1 soil|content-length: 2||ok";
  check "an invalid status" "HTTP/1.1 999 Denied\r\nContent-Length: 2\r\n\r\nno"
    "HTTP/1.1 999 Status|via: 1.1 soil|content-length: 2||no"

(* Places *)

let switched = "HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"

(* A connection of a client to [proxy], on which it has sent [text]. *)
let begin_ ?limits scope proxy text =
  let client, server = Soil.Flow.pair () in
  let serve () =
    Fun.protect
      ~finally:(fun () -> D.close server)
      (fun () -> Server.connection ?limits server (Proxy.handle proxy))
  in
  ignore (T.spawn_daemon scope serve);
  D.write_string client text;
  client

(* One that is used doesn't end, however long it lasts. [longest] is how late a busy machine was. *)
let busy_tunnel () =
  let seconds = 1. in
  let serve _ =
    Some
      (fun d ->
        skip_head d;
        D.write_string d switched;
        ignore (D.copy ~src:d ~dst:d ()))
  in
  with_backends ~tunnel_seconds:seconds serve [ "http://a" ] @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n" in
  let d = begin_ scope proxy (get ~fields "/") in
  let r = Soil.Reader.create d in
  let rec skip () = if Soil.Reader.line r <> "" then skip () in
  skip ();
  let begun = Soil.Clock.monotonic () in
  let rec go last longest =
    let now = Soil.Clock.monotonic () in
    let longest = Float.max longest (now -. last) in
    if now -. begun < 2. *. seconds then (
      D.write_string d "ping";
      match Soil.Reader.take r 4 with
      | text ->
          string "echo" "ping" text;
          Soil.Clock.sleep 0.05;
          go now longest
      | exception End_of_file -> bool "ends late only" true (longest > seconds /. 2.))
  in
  go begun 0.;
  D.close d

let status_line d = Soil.Reader.line (Soil.Reader.create d)
let by_field request = Server.header request "x-client"
let of_client name = "X-Client: " ^ name ^ "\r\n"

(* Tunnels have a limit of their own, and each client one. *)
let tunnels () =
  let serve _ =
    Some
      (fun d ->
        let r = Soil.Reader.create d in
        let first = Soil.Reader.line r in
        let rec skip () = if Soil.Reader.line r <> "" then skip () in
        skip ();
        if String.starts_with ~prefix:"GET /ws" first then (
          D.write_string d switched;
          ignore (D.read_all d))
        else D.write_string d "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
  in
  with_backends ~max_requests:1 ~max_tunnels:3 ~max_client_tunnels:2 ~wait_seconds:0.01
    ~client:by_field serve [ "http://a" ]
  @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let active () = List.map (fun (_, _, n) -> n) (Proxy.backends proxy) in
  let upgrade name =
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n" ^ of_client name in
    let d = begin_ scope proxy (get ~fields "/ws") in
    (String.sub (status_line d) 9 3, d)
  in
  let is what wanted (status, _) = string what wanted status in
  let first = upgrade "one" in
  is "the first" "101" first;
  is "the second" "101" (upgrade "one");
  is "too many of a client" "429" (upgrade "one");
  let third = upgrade "two" in
  is "another client's" "101" third;
  is "too many" "503" (upgrade "three");
  bool "counted" true (active () = [ 3 ]);
  string "a request beside them" "200" (status_of proxy (get ~fields:(of_client "one") "/"));
  D.close (snd first);
  until (fun () -> active () = [ 2 ]);
  is "a place that was returned" "101" (upgrade "three");
  is "and no more" "503" (upgrade "one");
  D.close (snd third);
  until (fun () -> active () = [ 2 ]);
  is "the client's own" "101" (upgrade "one")

(* An upgrade that the backend refuses is no tunnel while its response is sent. *)
let refused_upgrades () =
  let gate = T.Promise.create () in
  let handler _ _ =
    Server.stream (fun sink ->
        D.write_string sink "begun";
        T.Promise.await gate)
  in
  let serve host = Some (fun d -> Server.connection d (handler host)) in
  with_backends ~max_tunnels:1 serve [ "http://a" ] @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let upgrade () = status_line (begin_ scope proxy (upgrading "websocket\r\n")) in
  string "one" "HTTP/1.1 200 OK" (upgrade ());
  string "another" "HTTP/1.1 200 OK" (upgrade ());
  T.Promise.fulfil gate ()

(* No client takes all places, however many requests it makes at once. *)
let shares () =
  let gate = T.Promise.create () and busy = ref 0 in
  let handler _ request =
    if Server.path request = "/slow" then (
      incr busy;
      T.Promise.await gate);
    Server.string ""
  in
  let serve host = Some (fun d -> Server.connection d (handler host)) in
  let check wait_seconds f =
    with_backends ~max_requests:4 ~wait_seconds ~client:by_field serve [ "http://a" ]
    @@ fun proxy ->
    soon @@ fun () ->
    T.scope @@ fun scope ->
    let ask name path =
      T.spawn scope (fun () -> status_of proxy (get ~fields:(of_client name) path))
    in
    f ask
  in
  ( check 0.02 @@ fun ask ->
    let slow = List.init 2 (fun _ -> ask "one" "/slow") in
    until (fun () -> !busy = 2);
    string "half of the places" "429" (T.await (ask "one" "/"));
    string "another client" "200" (T.await (ask "two" "/"));
    T.Promise.fulfil gate ();
    strings "the slow ones" [ "200"; "200" ] (List.map T.await slow);
    string "after them" "200" (T.await (ask "one" "/")) );
  check 60. @@ fun ask ->
  strings "a few wait"
    (List.init 20 (fun _ -> "200"))
    (List.map T.await (List.init 20 (fun _ -> ask "one" "/")))

(* A share is the client's as long as it has any place of it. *)
let shares_in_parts () =
  let serve _ = Some (head_then switched) in
  with_backends ~max_client_tunnels:2 ~client:by_field serve [ "http://a" ] @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let upgrade what wanted =
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n" ^ of_client "one" in
    let d = begin_ scope proxy (get ~fields "/") in
    string what wanted (String.sub (status_line d) 9 3);
    d
  in
  let is_held n = List.map (fun (_, _, n) -> n) (Proxy.backends proxy) = [ n ] in
  let first = upgrade "one" "101" in
  let second = upgrade "two" "101" in
  D.close first;
  until (fun () -> is_held 1);
  let third = upgrade "in place of the first" "101" in
  ignore (upgrade "more than its share" "429");
  List.iter D.close [ second; third ];
  until (fun () -> is_held 0);
  ignore (List.map (upgrade "the whole share") [ "101"; "101" ]);
  ignore (upgrade "and no more" "429")

(* A place that is free goes to who can use it, not to one that waits for another backend. *)
let places_of_others () =
  let a = T.Promise.create () and b = T.Promise.create () in
  let busy = ref [] and broken = ref "" in
  let handler host request =
    if Server.path request = "/slow" then (
      busy := host :: !busy;
      T.Promise.await (if host = "a" then a else b));
    Server.string host
  in
  let tried = ref 0 in
  let serve host =
    if host = !broken then (
      incr tried;
      None)
    else Some (fun d -> Server.connection d (handler host))
  in
  with_backends ~max_requests:1 ~wait_seconds:60. serve [ "http://a"; "http://b" ] @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let ask path = T.spawn scope (fun () -> status_of proxy (get path)) in
  let first = ask "/slow" in
  until (fun () -> List.length !busy = 1);
  let other = if !busy = [ "a" ] then "b" else "a" in
  broken := other;
  let selective = ask "/" in
  until (fun () -> !tried = 1);
  Soil.Clock.sleep 0.02;
  broken := "";
  let second = ask "/slow" in
  until (fun () -> List.length !busy = 2);
  let waiting = ask "/" in
  Soil.Clock.sleep 0.02;
  let release host = T.Promise.fulfil (if host = "a" then a else b) () in
  release other;
  string "gets the place" "200" (T.await waiting);
  string "the second" "200" (T.await second);
  release (if other = "a" then "b" else "a");
  strings "the others" [ "200"; "200" ] (List.map T.await [ first; selective ])

(* Until the first 16 KiB of a body have come, its request takes no place. *)
let slow_uploads () =
  let serve _ =
    Some (fun d -> Server.connection d (fun r -> Server.string (Server.body_string r)))
  in
  with_backends ~max_requests:1 ~wait_seconds:0.01 serve [ "http://a" ] @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let active () = List.map (fun (_, _, n) -> n) (Proxy.backends proxy) in
  let upload head sent rest =
    let d = begin_ scope proxy (head ^ sent) in
    T.yield ();
    string "beside it" "200" (status_of proxy (get "/"));
    bool "no place" true (active () = [ 0 ]);
    D.write_string d rest;
    d
  in
  let head length =
    Printf.sprintf "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" length
  in
  let small = upload (head 100) (String.make 99 'x') "x" in
  string "a small one" "HTTP/1.1 200 OK" (status_line small);
  let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" in
  let d = upload chunked "5\r\nhello\r\n" "0\r\n\r\n" in
  string "chunks" "HTTP/1.1 200 OK" (status_line d);
  let large = upload (head 100_000) (String.make 16_383 'x') "x" in
  until (fun () -> active () = [ 1 ]);
  string "its place" "503" (status_of proxy (get "/"));
  D.write_string large (String.make (100_000 - 16_384) 'x');
  string "a large one" "HTTP/1.1 200 OK" (status_line large);
  (* The rest of its response has come from the backend. *)
  until (fun () -> active () = [ 0 ])

(* A client that doesn't read, or stops to send, gives its place back. *)
let stalls () =
  let failures = ref 0 in
  let handler request =
    match Server.path request with
    | "/large" -> Server.string (String.make 1_000_000 'x')
    | _ -> Server.string (Server.body_string request)
  in
  let serve _ = Some (fun d -> Server.connection d handler) in
  with_backends ~max_requests:1 ~wait_seconds:60. ~stall_seconds:0.05
    ~on_failure:(fun _ _ -> incr failures)
    serve [ "http://a" ]
  @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  let reader = begin_ scope proxy (get "/large") in
  string "begins" "HTTP/1.1 200 OK" (status_line reader);
  string "after one that doesn't read" "200" (status_of proxy (get "/"));
  let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" in
  let sender = begin_ scope proxy (head ^ String.make 20_000 'x') in
  T.yield ();
  string "after one that doesn't send" "200" (status_of proxy (get "/"));
  string "its response" "HTTP/1.1 408 Request Timeout" (status_line sender);
  int "failures of the backend" 0 !failures

(* A response that has come from the backend takes no place while the client reads it. *)
let early_returns () =
  let handler _ = Server.string (String.make 10_000 'x') in
  let serve _ = Some (fun d -> Server.connection d handler) in
  with_backends ~max_requests:1 ~wait_seconds:60. serve [ "http://a" ] @@ fun proxy ->
  soon @@ fun () ->
  T.scope @@ fun scope ->
  (* Of so many responses some don't fit where they wait to be read. *)
  let many = String.concat "" (List.init 200 (fun _ -> get "/")) in
  let d = begin_ scope proxy many in
  let waits () = List.map (fun (_, _, n) -> n) (Proxy.backends proxy) = [ 0 ] in
  Soil.Clock.sleep 0.05;
  until waits;
  string "beside it" "200" (status_of proxy (get "/"));
  D.close d

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

(* What the proxy holds of both sides counts for the client. *)
let budget () =
  let handler request =
    match Server.path request with
    | "/large" -> Server.string (String.make 100_000 'x')
    | _ -> Server.string (Server.body_string request)
  in
  let serve _ = Some (fun d -> Server.connection d handler) in
  with_backends serve [ "http://a" ] @@ fun proxy ->
  let post n =
    Printf.sprintf "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" n
      (String.make n 'x')
  in
  let ask n request = with_budget n (fun () -> asked proxy request) in
  string "a body" "200" (status (ask 60_000 (post 100)));
  string "its beginning" "503" (status (ask 30_000 (post 16_000)));
  string "as before" "200" (status (ask 100_000 (post 16_000)));
  bool "a response" false (String.length (ask 60_000 (get "/large")) > 100_000);
  (* The backend is in this program, too, and each of the two sends 64 KiB at a time. *)
  bool "as before" true (String.length (ask 400_000 (get "/large")) > 100_000)

(* A backend's head counts for the client while it comes, and until the response has gone. *)
let heads_of_backends () =
  let field n = Printf.sprintf "x-%d: %s\r\n" n (String.make 1000 'x') in
  let counted () = (Soil.Budget.statistics ()).held in
  (* What the proxy's answer to [room] bytes is, with a head of [n] KB, and what it held before the
     end of the body. *)
  let ask n room =
    let held = ref 0 in
    let answer d =
      skip_head d;
      D.write_string d ("HTTP/1.1 200 OK\r\n" ^ String.concat "" (List.init n field));
      D.write_string d "content-length: 2\r\n\r\no";
      Soil.Clock.sleep 0.1;
      held := counted ();
      D.write_string d "k"
    in
    let serve _ = Some (fun d -> try answer d with Soil.Error _ -> ()) in
    with_backends serve [ "http://a" ] @@ fun proxy ->
    let before = counted () in
    let answer = status (with_budget room (fun () -> asked proxy (get "/"))) in
    int "given back" before (counted ());
    (answer, !held - before)
  in
  string "no room" "503" (fst (ask 40 40_000));
  let short, less = ask 0 300_000 and long, more = ask 40 300_000 in
  string "short" "200" short;
  string "long" "200" long;
  bool "what it takes" true (more - less > 40_000 && more - less < 60_000)

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
    in_run "a tunnel that is used" busy_tunnel;
    in_run "reported once" reported_once;
    in_run "paths above a backend's" climbing;
    in_run "invented fields" invented_fields;
    in_run "backends at one address" one_address;
    in_run "open quotes" open_quotes;
    in_run "TRACE" traces;
    in_run "tolerated responses" tolerated_responses;
    in_run "tunnels" tunnels;
    in_run "refused upgrades" refused_upgrades;
    in_run "shares of clients" shares;
    in_run "parts of shares" shares_in_parts;
    in_run "places of others" places_of_others;
    in_run "slow uploads" slow_uploads;
    in_run "clients that stall" stalls;
    in_run "the budget" budget;
    in_run "heads of backends" heads_of_backends;
    in_run "responses that have come" early_returns;
  ]
