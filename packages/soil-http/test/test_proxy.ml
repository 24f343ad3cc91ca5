(* A proxy between a client and backends, over pipes. *)
open Check
module Client = Soil_http.Client
module Proxy = Soil_http.Proxy
module H = Cohttp.Header

let uri = Uri.of_string

let is_in text part =
  let n = String.length part in
  let rec at i = i + n <= String.length text && (String.sub text i n = part || at (i + 1)) in
  at 0

let refused host = Soil.Error.fail Connection_refused "connect" ~subject:host ~detail:""

(* [f proxy] with a proxy whose connections to [host] are served by [serve host flow], in a task. *)
let with_backends ?limits ?connect_seconds ?max_requests ?max_client_requests ?max_tunnels
    ?max_client_tunnels ?client ?max_body ?wait_seconds ?stall_seconds ?retries ?max_failures
    ?avoid_seconds ?tunnel_seconds ?health ?fields ?(on_failure = fun _ _ -> ()) serve uris f =
  Soil.Task.scope @@ fun scope ->
  let connect ~host ~port:_ =
    let client, server = Soil.Flow.pair () in
    match serve host with
    | None -> refused host
    | Some serve ->
        let run () =
          Fun.protect
            ~finally:(fun () -> D.close server)
            (fun () -> try serve (server :> D.flow) with Soil.Error _ -> ())
        in
        ignore (Soil.Task.spawn_daemon scope run);
        (client :> D.flow)
  in
  let proxy =
    Proxy.create ?limits ?connect_seconds ~connect ?max_requests ?max_client_requests ?max_tunnels
      ?max_client_tunnels ?client ?max_body ?wait_seconds ?stall_seconds ?retries ?max_failures
      ?avoid_seconds ?tunnel_seconds ?health ?fields ~on_failure scope (List.map uri uris)
  in
  f proxy

let with_handler ?max_requests ?wait_seconds ?retries ?health ?fields ?on_failure handler uris f =
  let serve host = Some (fun d -> Server.connection d (handler host)) in
  with_backends ?max_requests ?wait_seconds ?retries ?health ?fields ?on_failure serve uris f

let asked ?limits proxy request = answers ?limits (Proxy.handle proxy) [ request ]
let status_of proxy request = status (asked proxy request)

(* What a backend sees of a request, in a line. *)
let line request =
  let head = Server.head request in
  let fields = List.map (fun (n, v) -> n ^ "=" ^ v) (H.to_list head.headers) in
  let body = Server.body_string request in
  String.concat " "
    ((Cohttp.Code.string_of_method head.meth :: head.resource :: fields) @ [ "[" ^ body ^ "]" ])

let seen_of ?(uris = [ "http://a:81/base/" ]) f =
  let seen = ref [] in
  let handler _ request =
    seen := line request :: !seen;
    Server.string "answer"
  in
  with_handler handler uris f;
  List.rev !seen

let own =
  "x-forwarded-proto=http x-forwarded-host=www.example:8080 \
   forwarded=for=unknown;host=\"www.example:8080\";proto=http via=1.0 first, 1.1 soil"

let fields_to_a_backend () =
  let request =
    "GET /x%2Fy?q=%20 HTTP/1.1\r\n\
     Host: www.example:8080\r\n\
     Connection: x-one, keep-alive, TE\r\n\
     X-One: 1\r\n\
     x-two: 2\r\n\
     Keep-Alive: timeout=5\r\n\
     TE: trailers\r\n\
     Trailer: a\r\n\
     Proxy-Authorization: Basic x\r\n\
     Proxy-Connection: close\r\n\
     X-Forwarded-Proto: evil\r\n\
     Via: 1.0 first\r\n\
     \r\n"
  in
  strings "fields"
    [
      "GET /base/x%2Fy?q=%20 host=www.example:8080 te=trailers connection=te x-two=2 " ^ own ^ " []";
    ]
    (seen_of (fun proxy -> string "status" "200" (status_of proxy request)))

(* [fields] may wait, and other requests of the connection go to backends meanwhile. *)
let fields_amid_requests () =
  let seen = ref [] and other = ref None in
  let fields request =
    let ask = !other in
    other := None;
    Option.iter (fun ask -> ignore (ask request)) ask;
    [ ("x-number", Some (if ask = None then "2" else "1")) ]
  in
  let handler _ request =
    seen := line request :: !seen;
    Server.string "answer"
  in
  ( with_handler ~fields handler [ "http://a" ] @@ fun proxy ->
    other := Some (Proxy.handle proxy);
    string "status" "200" (status_of proxy (get "/")) );
  let expected number =
    "GET / host=a x-number=" ^ number
    ^ " x-forwarded-proto=http x-forwarded-host=a forwarded=for=unknown;host=a;proto=http via=1.1 \
       soil []"
  in
  strings "heads" [ expected "2"; expected "1" ] (List.rev !seen)

let fields_to_a_client () =
  let handler _ _ =
    Server.string "answer"
      ~headers:
        (H.of_list
           [ ("x-one", "1"); ("x-two", "2"); ("keep-alive", "5"); ("date", "d"); ("via", "1.1 b") ])
  in
  with_handler handler [ "http://a" ] @@ fun proxy ->
  string "fields" "HTTP/1.1 200 OK|x-one: 1|x-two: 2|via: 1.1 b, 1.1 soil|content-length: 6||answer"
    (plain (asked proxy (get "/")));
  string "HEAD" "HTTP/1.1 200 OK|x-one: 1|x-two: 2|via: 1.1 b, 1.1 soil|content-length: 6||"
    (plain (asked proxy "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"))

(* Bodies of any size, with a length and in chunks, are the same on the other side. *)
let bodies =
  let size = QCheck2.Gen.(oneof [ int_bound 100; int_range 16_000 17_000; int_bound 300_000 ]) in
  property_in_run ~count:60 "bodies"
    QCheck2.Gen.(quad size bool size bool)
    (fun (sent, chunked, answered, streamed) ->
      let text n = String.init n (fun i -> Char.chr (97 + (i mod 23))) in
      let found = ref "" in
      let handler _ request =
        found := Server.body_string request;
        if streamed then Server.stream (fun sink -> D.write_string sink (text answered))
        else Server.string (text answered)
      in
      with_handler handler [ "http://a" ] @@ fun proxy ->
      Test_client.with_client (fun _ _ d -> Server.connection d (Proxy.handle proxy))
      @@ fun client ->
      let body =
        if chunked then Client.Stream (None, fun sink -> D.write_string sink (text sent))
        else Client.String (text sent)
      in
      let response, answer = Client.post client (uri "http://x/") body in
      response.status = `OK && !found = text sent && answer = text answered)

(* What a server refuses gets to no backend, and nothing behind it does. *)
let smuggling () =
  let cases =
    List.map (fun (what, request) -> (what, "400", request)) Test_requests.malformed
    @ Test_requests.other_statuses
  in
  let check (what, wanted, request) =
    let seen = ref [] in
    let handler _ request =
      seen := Server.path request :: !seen;
      Server.string (string_of_int (String.length (Server.body_string request)))
    in
    with_handler handler [ "http://a" ] @@ fun proxy ->
    let text = answers (Proxy.handle proxy) [ request; get "/smuggled" ] in
    string what wanted (status text);
    bool (what ^ ": nothing behind it") false (List.mem "/smuggled" !seen)
  in
  List.iter check cases

(* Every byte that a backend gets is that of a request as the proxy writes it. *)
let smuggled_bytes () =
  let check (what, request) =
    let got = Buffer.create 100 in
    let serve _ =
      Some
        (fun d ->
          let b = Bytes.create 4096 in
          let rec go () =
            let n = D.read d b 0 4096 in
            if n > 0 then (
              Buffer.add_subbytes got b 0 n;
              go ())
          in
          go ())
    in
    let limits = { Client.default_limits with head_seconds = 0.05 } in
    with_backends ~limits ~retries:0 serve [ "http://a" ] @@ fun proxy ->
    ignore (answers (Proxy.handle proxy) [ request; get "/smuggled" ]);
    let text = Buffer.contents got in
    bool (what ^ ": no other request") false (is_in text "smuggled");
    (* If its body is malformed, the end of the body never comes. *)
    bool (what ^ ": no end") false (String.ends_with ~suffix:"0\r\n\r\n" text)
  in
  List.iter check Test_requests.malformed

(* Failures *)

let close = H.init_with "connection" "close"

let fails_over () =
  let failures = ref [] in
  let on_failure uri reason = failures := (Uri.to_string uri, reason) :: !failures in
  let serve = function
    | "a" -> None
    | _ -> Some (fun d -> Server.connection d (fun r -> Server.string (line r)))
  in
  with_backends ~on_failure serve [ "http://a"; "http://b" ] @@ fun proxy ->
  for _ = 1 to 10 do
    string "GET" "200" (status_of proxy (get "/"));
    (* Nothing was sent to the first. *)
    string "POST" "200"
      (status_of proxy "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
  done;
  int "reported until it is avoided" 3 (List.length !failures);
  bool "state" true
    (List.map (fun (_, state, _) -> state) (Proxy.backends proxy) = [ Proxy.Failing; Up ])

(* Failures between answers aren't in a row. *)
let failures_in_a_row () =
  let tries = ref 0 in
  let is_broken = ref (fun n -> n mod 2 = 1) in
  let serve _ =
    incr tries;
    if !is_broken !tries then None
    else Some (fun d -> Server.connection d (fun _ -> Server.status `OK ~headers:close))
  in
  with_backends ~retries:0 ~max_failures:2 ~avoid_seconds:60. serve [ "http://a" ] @@ fun proxy ->
  let state () = List.map (fun (_, state, _) -> state) (Proxy.backends proxy) in
  for n = 1 to 10 do
    string "in turns" (if n mod 2 = 1 then "502" else "200") (status_of proxy (get "/"));
    bool "up" true (state () = [ Proxy.Up ])
  done;
  (is_broken := fun n -> n < 13);
  for _ = 1 to 2 do
    string "broken" "502" (status_of proxy (get "/"))
  done;
  bool "failing" true (state () = [ Proxy.Failing ]);
  string "well" "200" (status_of proxy (get "/"));
  bool "up again" true (state () = [ Proxy.Up ])

let canned text = Some (Test_client.canned text "" 0)

let repeats () =
  let tries = ref 0 in
  let serve host =
    incr tries;
    match host with
    | "gone" -> canned ""
    | "cut" -> canned "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"
    | _ -> canned "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
  in
  let check what wanted ~tried uris request =
    tries := 0;
    with_backends serve uris @@ fun proxy ->
    string what wanted (status_of proxy request);
    int what tried !tries
  in
  let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" in
  let put n =
    Printf.sprintf "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" n (String.make n 'x')
  in
  (* The second is the first in turn. *)
  let gone = [ "http://good"; "http://gone" ] in
  check "GET" "200" ~tried:2 gone (get "/");
  check "a short answer that is cut" "200" ~tried:2 [ "http://good"; "http://cut" ] (get "/");
  check "a small PUT" "200" ~tried:2 gone (put 100);
  check "a large PUT" "502" ~tried:1 gone (put 100_000);
  check "POST" "502" ~tried:1 gone post;
  check "one further backend" "502" ~tried:2
    [ "http://cut"; "http://gone"; "http://good" ]
    (get "/");
  check "none left" "502" ~tried:1 [ "http://gone" ] (get "/")

let times_out () =
  let serve _ = Some (fun d -> ignore (D.read_all d)) in
  let limits = { Client.default_limits with head_seconds = 0.02 } in
  with_backends ~limits serve [ "http://a" ] @@ fun proxy ->
  string "the head" "504" (status_of proxy (get "/"))

(* The time of a client that sends nothing isn't the backend's. *)
let slow_client () =
  let serve _ = Some (fun d -> ignore (D.read_all d)) in
  let limits = { Client.default_limits with head_seconds = 0.02 } and failures = ref [] in
  let on_failure _ reason = failures := reason :: !failures in
  with_backends ~limits ~on_failure serve [ "http://a" ] @@ fun proxy ->
  let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" in
  let slow = { Server.default_limits with body_seconds = 0.05 } in
  let answer ?limits sent = answers ?limits ~shut:false (Proxy.handle proxy) [ head ^ sent ] in
  string "nothing" "408" (status (answer ~limits:slow ""));
  string "the beginning" "408" (status (answer (String.make 16384 'x')));
  strings "no failure of the backend" [] !failures

(* A response that failed keeps no place of its backend while another one answers. *)
let failed_places () =
  let cut = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello" in
  let ended = Soil.Task.Promise.create () in
  let serve = function
    | "cut" ->
        Some
          (fun d ->
            (* It stays open: only the proxy can end it. *)
            let b = Bytes.create 4096 in
            ignore (D.read d b 0 4096);
            D.write_string d cut;
            D.shutdown d `Send;
            (try ignore (D.read_all d) with Soil.Error _ -> ());
            Soil.Task.Promise.fulfil ended ())
    | _ ->
        Some
          (fun d ->
            Server.connection d (fun _ ->
                Soil.Task.Promise.await ended;
                Server.string "after it"))
  in
  with_backends serve [ "http://good"; "http://cut" ] @@ fun proxy ->
  string "status" "200" (status_of proxy (get "/"))

let cut_response () =
  let text = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n" in
  with_backends (fun _ -> canned text) [ "http://a" ] @@ fun proxy ->
  match asked proxy (get "/") with
  | text -> bool "no end" false (String.ends_with ~suffix:"0\r\n\r\n" text)
  | exception Client.Failed (_, Truncated) -> ()

(* Limits *)

let limits () =
  let busy = ref 0 and most = ref 0 and gate = Soil.Task.Promise.create () in
  let handler _ _ =
    incr busy;
    most := max !most !busy;
    if !busy = 2 then Soil.Task.Promise.await gate else Soil.Task.yield ();
    decr busy;
    Server.string "done"
  in
  with_handler ~max_requests:2 ~wait_seconds:60. handler [ "http://a" ] (fun proxy ->
      let asked _ = status_of proxy (get "/") in
      let release () =
        Soil.Clock.sleep 0.02;
        Soil.Task.Promise.fulfil gate ()
      in
      let statuses, () =
        Soil.Task.both (fun () -> Soil.Task.map asked (List.init 8 Fun.id)) release
      in
      strings "all wait" (List.init 8 (fun _ -> "200")) statuses;
      int "at once" 2 !most);
  let stuck = Soil.Task.Promise.create () in
  let handler _ _ =
    Soil.Task.Promise.await stuck;
    Server.string "done"
  in
  with_handler ~max_requests:1 ~wait_seconds:0.01 handler [ "http://a" ] @@ fun proxy ->
  let second () =
    Soil.Clock.sleep 0.01;
    let text = asked proxy (get "/") in
    Soil.Task.Promise.fulfil stuck ();
    string "in vain" "503" (status text);
    bool "says when" true (is_in text "retry-after: 1")
  in
  let first, () = Soil.Task.both (fun () -> status_of proxy (get "/")) second in
  string "the first" "200" first

let drains () =
  let gate = Soil.Task.Promise.create () and hosts = ref [] in
  let handler host request =
    hosts := host :: !hosts;
    if Server.path request = "/slow" then Soil.Task.Promise.await gate;
    Server.string host
  in
  with_handler handler [ "http://a" ] @@ fun proxy ->
  let states () = List.map (fun (_, state, n) -> (state, n)) (Proxy.backends proxy) in
  let drained = ref false in
  let slow () = string "the slow one" "200" (status_of proxy (get "/slow")) in
  let others () =
    while !hosts = [] do
      Soil.Task.yield ()
    done;
    Proxy.add proxy (uri "http://b");
    Soil.Task.scope @@ fun scope ->
    let drain () =
      Proxy.drain proxy (uri "http://a");
      drained := true
    in
    ignore (Soil.Task.spawn scope drain);
    Soil.Task.yield ();
    bool "states" true (states () = [ (Proxy.Draining, 1); (Up, 0) ]);
    for _ = 1 to 4 do
      ignore (asked proxy (get "/"))
    done;
    strings "the other one" [ "b"; "b"; "b"; "b"; "a" ] !hosts;
    bool "waits" false !drained;
    Soil.Task.Promise.fulfil gate ()
  in
  ignore (Soil.Task.both slow others);
  bool "removed" true (states () = [ (Proxy.Up, 0) ])

let health_checks () =
  let is_well = ref true and asked_for = ref [] in
  let handler host request =
    if Server.path request = "/health" then
      Server.status (if host = "b" || !is_well then `OK else `Internal_server_error)
    else (
      asked_for := host :: !asked_for;
      Server.string host)
  in
  let health = { Proxy.path = "/health"; interval = 0.005; fall = 2; rise = 2 } in
  let changed = Soil.Task.Condition.create () in
  let on_failure _ _ = Soil.Task.Condition.broadcast changed in
  with_handler ~health ~on_failure handler [ "http://a"; "http://b" ] @@ fun proxy ->
  let states () = List.map (fun (_, state, _) -> state) (Proxy.backends proxy) in
  is_well := false;
  while states () <> [ Proxy.Down; Up ] do
    Soil.Task.Condition.wait_no_mutex changed
  done;
  for _ = 1 to 6 do
    ignore (asked proxy (get "/"))
  done;
  strings "only the healthy one" (List.init 6 (fun _ -> "b")) !asked_for;
  is_well := true;
  while states () <> [ Proxy.Up; Up ] do
    Soil.Task.Condition.wait_no_mutex changed
  done;
  asked_for := [];
  for _ = 1 to 6 do
    ignore (asked proxy (get "/"))
  done;
  bool "both" true (List.mem "a" !asked_for && List.mem "b" !asked_for)

(* Checks that fail in turns aren't in a row. *)
let checks_in_a_row () =
  let checks = ref 0 in
  let handler _ _ =
    incr checks;
    Server.status (if !checks mod 2 = 1 then `Internal_server_error else `OK)
  in
  let health = { Proxy.path = "/health"; interval = 0.5; fall = 2; rise = 1 } in
  let changes = ref [] in
  let on_failure _ reason = changes := reason :: !changes in
  with_handler ~health ~on_failure handler [ "http://a" ] @@ fun proxy ->
  while !checks < 4 do
    Soil.Clock.sleep 0.01
  done;
  strings "no change" [] !changes;
  bool "up" true (List.map (fun (_, state, _) -> state) (Proxy.backends proxy) = [ Proxy.Up ])

(* Upgrades *)

module W = Soil_http.Websocket

let websocket () =
  let handler _ request =
    match Server.path request with
    | "/chat" -> W.accept ~protocols:[ "p" ] request (fun ws -> W.iter (W.send ws) ws)
    | _ -> Server.status `Forbidden
  in
  with_handler handler [ "http://a" ] @@ fun proxy ->
  Test_client.with_client (fun _ _ d -> Server.connection d (Proxy.handle proxy)) @@ fun client ->
  let large = String.make 100_000 'w' in
  W.Client.connect client (uri "ws://x/chat") (fun ws ->
      List.iter
        (fun message ->
          W.send ws (Text message);
          match W.receive ws with
          | Some (Text text) -> string "echo" message text
          | _ -> Alcotest.fail "no echo")
        [ "hello"; large ]);
  match W.Client.connect client (uri "ws://x/other") (fun _ -> ()) with
  | () -> Alcotest.fail "not refused"
  | exception Client.Failed (_, Not_upgraded `Forbidden) -> ()

(* A backend that answers faster than the client reads is held back. *)
let back_pressure () =
  let written = ref 0 in
  let handler _ _ =
    Server.stream (fun sink ->
        let piece = String.make 65536 'x' in
        for _ = 1 to 200 do
          D.write_string sink piece;
          written := !written + 65536
        done)
  in
  with_handler handler [ "http://a" ] @@ fun proxy ->
  let client, server = Soil.Flow.pair () in
  let serve () =
    Fun.protect
      ~finally:(fun () -> D.close server)
      (fun () -> Server.connection server (Proxy.handle proxy))
  in
  let ask () =
    let before = ref (-1) in
    while !written > !before do
      before := !written;
      Soil.Clock.sleep 0.01
    done;
    bool "held back" true (!written < 2_000_000);
    ignore (D.read_all ~max:max_int client);
    int "all of it" (200 * 65536) !written
  in
  ignore
    (Soil.Task.both serve (fun () ->
         D.write_string client (get "/" ~fields:"connection: close\r\n");
         ask ()))

let tests =
  [
    in_run "fields to a backend" fields_to_a_backend;
    in_run "fields amid requests" fields_amid_requests;
    in_run "fields to a client" fields_to_a_client;
    bodies;
    in_run "smuggling" smuggling;
    in_run "bytes that a backend gets" smuggled_bytes;
    in_run "another backend" fails_over;
    in_run "failures in a row" failures_in_a_row;
    in_run "repeated requests" repeats;
    in_run "a backend that doesn't answer" times_out;
    in_run "a client that doesn't send" slow_client;
    in_run "places of failed responses" failed_places;
    in_run "a response that is cut" cut_response;
    in_run "limits" limits;
    in_run "draining" drains;
    in_run "health checks" health_checks;
    in_run "checks in a row" checks_in_a_row;
    in_run "WebSocket" websocket;
    in_run "back-pressure" back_pressure;
  ]
