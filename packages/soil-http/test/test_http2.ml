(* HTTP/2: this library's client and server on each other. Peers are in tests/cases/http2.py. *)
open Check
module Client = Soil_http.Client
module Http2 = Soil_http.Http2
module Websocket = Soil_http.Websocket
module H = Cohttp.Header

let uri = Uri.of_string

(* A client whose connections are pairs of flows to [handler]. *)
let with_server ?(limits = Server.default_limits) ?max_connections handler f =
  Soil.Task.scope @@ fun scope ->
  let connect ~host:_ ~port:_ =
    let ours, theirs = Soil.Flow.pair ~capacity:65536 () in
    let serve () =
      D.with_close theirs (fun d ->
          try Server.connection ~limits ~http2:(Http2.server ()) d handler with Failure _ -> ())
    in
    ignore (Soil.Task.spawn_daemon scope serve);
    ours
  in
  let http2 = Http2.client () in
  let client_limits = { Client.default_limits with http2 = limits.http2 } in
  let client = Client.create ~limits:client_limits ?max_connections ~http2 ~connect () in
  f (Client.own scope client)

(* The same with a proxy between: [front] and [back] say which side has HTTP/2. *)
let with_proxy ~front ~back handler f =
  Soil.Task.scope @@ fun scope ->
  let serving ~http2 handler ~host:_ ~port:_ =
    let ours, theirs = Soil.Flow.pair ~capacity:65536 () in
    let http2 = if http2 then Some (Http2.server ()) else None in
    let serve () =
      D.with_close theirs (fun d -> try Server.connection ?http2 d handler with Failure _ -> ())
    in
    ignore (Soil.Task.spawn_daemon scope serve);
    ours
  in
  let client http2 = if http2 then Some (Http2.client ()) else None in
  let proxy =
    Soil_http.Proxy.create ?http2:(client back) ~connect:(serving ~http2:back handler) scope
      [ uri "http://backend" ]
  in
  let connect = serving ~http2:front (Soil_http.Proxy.handle proxy) in
  f (Client.own scope (Client.create ?http2:(client front) ~connect ()))

let show request =
  let head = Server.head request in
  let fields = List.map (fun (n, v) -> n ^ "=" ^ v) (H.to_list head.headers) in
  let body = Server.body_string request in
  Server.string
    (String.concat " "
       ([
          Cohttp.Code.string_of_method head.meth;
          head.resource;
          Cohttp.Code.string_of_version head.version;
        ]
       @ List.filter (fun f -> f <> "user-agent=soil") fields
       @ [ "[" ^ body ^ "]" ]))

let get ?headers client text = snd (Client.get ?headers client (uri text))

let requests () =
  with_server show @@ fun client ->
  string "a GET" "GET /x?y=1 HTTP/2.0 host=a.example []" (get client "http://a.example/x?y=1");
  let headers = H.of_list [ ("X-Mixed", "One"); ("connection", "close") ] in
  string "fields" "GET / HTTP/2.0 host=a x-mixed=One []" (get ~headers client "http://a/");
  let post body = snd (Client.post client (uri "http://a/") body) in
  string "a string" "POST / HTTP/2.0 host=a content-length=5 [hello]" (post (String "hello"));
  string "nothing" "POST / HTTP/2.0 host=a content-length=0 []" (post Empty);
  let write sink =
    D.write_string sink "by ";
    D.write_string sink "pieces"
  in
  string "a stream" "POST / HTTP/2.0 host=a [by pieces]" (post (Stream (None, write)));
  string "with a length" "POST / HTTP/2.0 host=a content-length=9 [by pieces]"
    (post (Stream (Some 9, write)));
  let large = String.make 1_000_000 'l' in
  int "a long string" 1_000_000
    (String.length (List.nth (String.split_on_char '[' (post (String large))) 1) - 1);
  int "one connection for each host" 2 (Client.opened client);
  int "which are unused" 2 (Client.idle client)

let concurrent () =
  let busy = ref 0 and most = ref 0 and all = Soil.Task.Promise.create () in
  let handler _ =
    incr busy;
    most := max !most !busy;
    if !busy = 20 then Soil.Task.Promise.fulfil all ();
    Soil.Task.Promise.await all;
    Server.string "ok"
  in
  with_server handler @@ fun client ->
  let bodies = Soil.Task.map (fun _ -> get client "http://a/") (List.init 20 Fun.id) in
  bool "all" true (List.for_all (( = ) "ok") bodies);
  int "at a time" 20 !most;
  int "on one connection" 1 (Client.opened client)

(* More requests than streams: the others wait. *)
let many () =
  let handler request = Server.string (Server.path request) in
  with_server ~max_connections:2 handler @@ fun client ->
  let numbers = List.init 1000 Fun.id in
  let one n =
    let path = "/" ^ string_of_int n in
    get client ("http://a" ^ path) = path
  in
  bool "each has its own" true (List.for_all Fun.id (Soil.Task.map one numbers));
  bool "on at most two" true (Client.opened client <= 2)

let large = String.init 700_000 (fun i -> Char.chr (i land 255))

let trailers_and_hints () =
  let handler request =
    Server.early_hints request (H.init_with "link" "</a>");
    let trailers () = H.of_list [ ("Sum", "3"); ("content-length", "9") ] in
    Server.stream ~trailers (fun sink -> D.write_string sink large)
  in
  with_server handler @@ fun client ->
  let interim = ref [] and after = ref [] in
  let on_interim status headers =
    interim := (Cohttp.Code.code_of_status status, H.get headers "link") :: !interim
  and on_trailers headers = after := H.to_list headers :: !after in
  let body =
    Client.request ~on_interim ~on_trailers client `GET (uri "http://a/") (fun _ source ->
        D.read_all ~max:max_int source)
  in
  bool "the body" true (body = large);
  bool "103" true (!interim = [ (103, Some "</a>") ]);
  bool "the fields after it" true (!after = [ [ ("sum", "3") ] ])

(* Both directions at once, and a body that the handler doesn't read. *)
let both_directions () =
  let handler request =
    let source = Server.body ~max:max_int request in
    Server.stream (fun sink -> ignore (D.copy ~src:source ~dst:sink ()))
  in
  with_server handler @@ fun client ->
  let to_server = Soil.Task.Stream.create 1 in
  let write sink = Soil.Task.Stream.iter (D.write_string sink) to_server in
  Client.request
    ~body:(Stream (None, write))
    client `POST (uri "http://a/")
    (fun _ source ->
      let b = Bytes.create 100 in
      for i = 1 to 5 do
        let text = "message " ^ string_of_int i in
        Soil.Task.Stream.push to_server text;
        string "comes back" text (Bytes.sub_string b 0 (D.read source b 0 100))
      done;
      Soil.Task.Stream.close to_server;
      int "the end" 0 (D.read source b 0 100))

let unread () =
  let handler request =
    if Server.path request = "/early" then Server.status `Forbidden else show request
  in
  with_server handler @@ fun client ->
  let body = Client.String (String.make 3_000_000 'x') in
  for _ = 1 to 3 do
    let response, _ =
      Client.request ~body client `POST (uri "http://a/early") (fun r s -> (r, s))
    in
    bool "refused" true (response.status = `Forbidden)
  done;
  string "the connection goes on" "GET / HTTP/2.0 host=a []" (get client "http://a/");
  int "the same one" 1 (Client.opened client)

(* Responses that are given up at their beginning: many times the window of the connection. *)
let given_up () =
  let handler _ = Server.stream (fun sink -> D.write_string sink large) in
  let http2 = { Server.default_limits.http2 with window_bytes = 300_000; odd_frames = 10_000 } in
  with_server ~limits:{ Server.default_limits with http2 } handler @@ fun client ->
  let b = Bytes.create 10 in
  for _ = 1 to 40 do
    Client.request client `GET (uri "http://a/") (fun _ source -> ignore (D.read source b 0 10))
  done;
  string "the next one is whole" large
    (Client.request client `GET (uri "http://a/") (fun _ s -> D.read_all ~max:max_int s));
  int "one connection" 1 (Client.opened client)

let cancelled () =
  let left = Soil.Task.Promise.create () in
  let handler request =
    if Server.path request = "/hang" then (
      try Soil.Clock.sleep infinity
      with e ->
        Soil.Task.Promise.fulfil left ();
        raise e);
    Server.string "ok"
  in
  with_server handler @@ fun client ->
  bool "gives up" true (Soil.Task.timeout_opt 0.05 (fun () -> get client "http://a/hang") = None);
  Soil.Task.Promise.await left;
  string "another stream" "ok" (get client "http://a/");
  int "on the same connection" 1 (Client.opened client)

let failures () =
  let handler request =
    match Server.path request with
    | "/raise" -> failwith "no"
    | "/cut" ->
        Server.stream (fun sink ->
            D.write_string sink "a part";
            failwith "no")
    | "/large" -> Server.string (String.make 100_000 'l')
    | _ -> Server.string "ok"
  in
  with_server handler @@ fun client ->
  let response, _ = Client.get client (uri "http://a/raise") in
  bool "500" true (response.status = `Internal_server_error);
  (match get client "http://a/cut" with
  | _ -> Alcotest.fail "a response that was cut"
  | exception Soil.Error { code = Connection_reset; _ } -> ());
  string "the others go on" "ok" (get client "http://a/");
  int "on one connection" 1 (Client.opened client);
  let headers = H.init_with "x" (String.make 20_000 'x') in
  let response, _ = Client.get ~headers client (uri "http://a/") in
  bool "431" true (response.status = `Request_header_fields_too_large)

(* Heads and trailers beyond the client's limit. *)
let large_responses () =
  let handler request =
    let large () =
      H.init_with "x" (String.make (int_of_string (Option.get (Server.header request "size"))) 'x')
    in
    match Server.path request with
    | "/head" -> Server.string ~headers:(large ()) "ok"
    | "/trailers" -> Server.stream ~trailers:large (fun sink -> D.write_string sink "ok")
    | "/length" ->
        Server.stream ~length:2 ~trailers:large (fun sink -> D.write_string sink "ok")
    | _ -> Server.string "ok"
  in
  with_server handler @@ fun client ->
  let is_too_large path size =
    match get ~headers:(H.init_with "size" (string_of_int size)) client ("http://a" ^ path) with
    | _ -> Alcotest.failf "%s of %d bytes" path size
    | exception Client.Failed (_, Too_large) -> string "the others go on" "ok" (get client "http://a/")
  in
  List.iter
    (fun size -> List.iter (fun path -> is_too_large path size) [ "/head"; "/trailers"; "/length" ])
    [ 66_000; 100_000; 200_000 ];
  int "on one connection" 1 (Client.opened client)
[@@ocamlformat "disable"]

let websocket () =
  let handler request =
    Websocket.accept request @@ fun ws ->
    Websocket.iter (function Text s -> Websocket.send ws (Text (s ^ "!")) | m -> Websocket.send ws m) ws
  in
  with_server handler @@ fun client ->
  Websocket.Client.connect client (uri "ws://a/") @@ fun ws ->
  Websocket.send ws (Text "over HTTP/2");
  match Websocket.receive ws with
  | Some (Text s) -> string "an echo" "over HTTP/2!" s
  | _ -> Alcotest.fail "no text"
[@@ocamlformat "disable"]

let between_versions ~front ~back () =
  let handler request =
    match Server.path request with
    | "/both" ->
        let source = Server.body ~max:max_int ~patient:true request in
        let trailers () = H.init_with "grpc-status" "0" in
        Server.stream ~trailers (fun sink -> ignore (D.copy ~src:source ~dst:sink ()))
    | "/hint" ->
        Server.early_hints request (H.init_with "link" "</a>");
        Server.string "hinted"
    | "/chat" ->
        Websocket.accept request @@ fun ws ->
        Websocket.iter (fun message -> Websocket.send ws message) ws
    | _ -> Server.string (Server.body_string request)
  in
  with_proxy ~front ~back handler @@ fun client ->
  string "a body" "hello" (snd (Client.post client (uri "http://a/") (String "hello")));
  let piece sink = D.write_string sink "by pieces" in
  string "without a length" "by pieces"
    (snd (Client.post client (uri "http://a/") (Stream (None, piece))));
  let interim = ref [] in
  let on_interim status _ = interim := Cohttp.Code.code_of_status status :: !interim in
  let text =
    Client.request ~on_interim client `GET (uri "http://a/hint") (fun _ s -> D.read_all s)
  in
  string "after 103" "hinted" text;
  Alcotest.(check (list int)) "103" [ 103 ] !interim;
  (* A call whose ends wait for each other. *)
  let to_server = Soil.Task.Stream.create 1 and after = ref None in
  let write sink = Soil.Task.Stream.iter (D.write_string sink) to_server in
  let headers = H.of_list [ ("content-type", "application/grpc"); ("te", "trailers") ] in
  let on_trailers headers = after := H.get headers "grpc-status" in
  Client.request ~headers
    ~body:(Stream (None, write))
    ~on_trailers client `POST (uri "http://a/both")
    (fun _ source ->
      let b = Bytes.create 100 in
      for i = 1 to 3 do
        let text = "message " ^ string_of_int i in
        Soil.Task.Stream.push to_server text;
        string "comes back" text (Bytes.sub_string b 0 (D.read source b 0 100))
      done;
      Soil.Task.Stream.close to_server;
      int "the end" 0 (D.read source b 0 100));
  Alcotest.(check (option string)) "trailers" (Some "0") !after;
  Websocket.Client.connect client (uri "ws://a/chat") @@ fun ws ->
  Websocket.send ws (Text "through");
  match Websocket.receive ws with
  | Some (Text s) -> string "WebSocket" "through" s
  | _ -> Alcotest.fail "no text"

(* After its responses a connection is idle, although the server waits for frames all the time. *)
let idle () =
  let limits = { Server.default_limits with idle_seconds = 0.2 } in
  let ended = Soil.Task.Promise.create () in
  Soil.Task.scope @@ fun scope ->
  let connect ~host:_ ~port:_ =
    let ours, theirs = Soil.Flow.pair ~capacity:65536 () in
    let serve () =
      D.with_close theirs (fun d ->
          Server.connection ~limits ~http2:(Http2.server ()) d (fun _ -> Server.string "ok"));
      Soil.Task.Promise.fulfil ended ()
    in
    ignore (Soil.Task.spawn_daemon scope serve);
    ours
  in
  let client = Client.create ~http2:(Http2.client ()) ~connect () in
  string "a response" "ok" (get client "http://a/");
  Soil.Task.Promise.await ended;
  string "on a new connection" "ok" (get client "http://a/");
  int "two in all" 2 (Client.opened client);
  Client.close client

(* A client that resets its requests doesn't get more handlers at a time. *)
let reset_and_again () =
  let running = ref 0 and most = ref 0 in
  let handler _ =
    incr running;
    most := max !most !running;
    Fun.protect
      ~finally:(fun () -> decr running)
      (fun () -> Soil.Task.protect (fun () -> Soil.Clock.sleep 0.5));
    Server.string "ok"
  in
  let http2 = { Server.default_limits.http2 with odd_frames = 100_000 } in
  with_server ~limits:{ Server.default_limits with http2 } handler @@ fun client ->
  for _ = 1 to 20 do
    ignore
      (Soil.Task.timeout_opt 0.01 (fun () ->
           Soil.Task.iter
             (fun _ ->
               try ignore (get client "http://a/") with Client.Failed _ | Soil.Error _ -> ())
             (List.init 90 Fun.id)))
  done;
  bool "twice the streams at most" true (!most <= 200);
  int "on one connection" 1 (Client.opened client)

(* Requests that begin at the same time on an idle connection. *)
let together_after_a_pause () =
  let handler request = Server.string (Server.path request) in
  with_server handler @@ fun client ->
  for _ = 1 to 20 do
    let one n = get client (Printf.sprintf "http://a/%d" n) = "/" ^ string_of_int n in
    bool "each has its own" true (List.for_all Fun.id (Soil.Task.map one (List.init 10 Fun.id)));
    Soil.Clock.sleep 0.001
  done;
  int "one connection" 1 (Client.opened client)

(* A server from which nothing comes gets a new connection the next time. *)
let silent () =
  let connections = ref 0 in
  Soil.Task.scope @@ fun scope ->
  let connect ~host:_ ~port:_ =
    incr connections;
    let ours, theirs = Soil.Flow.pair ~capacity:65536 () in
    (if !connections > 1 then
       let serve () =
         Server.connection ~http2:(Http2.server ()) theirs (fun _ -> Server.string "ok")
       in
       ignore (Soil.Task.spawn_daemon scope serve));
    ours
  in
  let limits = { Client.default_limits with head_seconds = 0.05 } in
  let client = Client.create ~limits ~http2:(Http2.client ()) ~connect () in
  (match get client "http://a/" with
  | _ -> Alcotest.fail "an answer"
  | exception Client.Failed (_, Too_slow) -> ());
  string "the next one" "ok" (get client "http://a/");
  Client.close client

(* What is more urgent is sent first, although it was asked for last. *)
let urgency () =
  let handler _ = Server.stream (fun sink -> D.write_string sink (String.make 200_000 'x')) in
  with_server handler @@ fun client ->
  ignore (get client "http://a/");
  let ended = ref [] in
  let ask value =
    ignore (get ~headers:(H.init_with "priority" value) client "http://a/");
    ended := value :: !ended
  in
  Soil.Task.iter ask [ "u=7"; "u=5, i"; "u=1" ];
  strings "order" [ "u=1"; "u=5, i"; "u=7" ] (List.rev !ended)

(* Two responses come together: one of the tasks that wait for them reads both, and neither reads for
   the third. *)
let handed_on () =
  let begun = ref 0 and answered = ref 0 in
  let both = ref (Soil.Task.Promise.create ()) and last = ref (Soil.Task.Promise.create ()) in
  let handler request =
    incr begun;
    if !begun = 3 then Soil.Task.Promise.fulfil !both ();
    Soil.Task.Promise.await !both;
    if Server.path request = "/last" then Soil.Task.Promise.await !last;
    Server.status `No_content
  in
  with_server handler @@ fun client ->
  let get path =
    let response, _ = Client.get client (uri ("http://a" ^ path)) in
    incr answered;
    if !answered = 2 then Soil.Task.Promise.fulfil !last ();
    Cohttp.Code.code_of_status response.status
  in
  let all paths =
    begun := 0;
    answered := 0;
    both := Soil.Task.Promise.create ();
    last := Soil.Task.Promise.create ();
    Alcotest.(check (list int)) "all" [ 204; 204; 204 ] (Soil.Task.map get paths)
  in
  List.iter all [ [ "/1"; "/2"; "/last" ]; [ "/1"; "/last"; "/2" ]; [ "/last"; "/1"; "/2" ] ];
  List.iter all [ [ "/1"; "/2"; "/last" ]; [ "/1"; "/last"; "/2" ]; [ "/last"; "/1"; "/2" ] ];
  int "one connection" 1 (Client.opened client)

(* Some heads are sent by a task of their own, which may run after others. *)
let in_order () =
  with_server show @@ fun client ->
  let ask n =
    let target = uri (Printf.sprintf "http://a/%d" n) in
    let text = string_of_int n in
    let write sink = D.write_string sink text in
    let body = if n land 1 = 0 then Client.Stream (None, write) else String text in
    let _, answer = Client.post client target body in
    bool "its own" true (String.ends_with ~suffix:("[" ^ text ^ "]") answer)
  in
  Soil.Task.iter ~max:30 ask (List.init 100 Fun.id);
  int "one connection" 1 (Client.opened client)

(* Both ends have more to send than the flow between them and their output hold, and both read. *)
let full_both_ways () =
  let echo request =
    let body = Server.body ~max:max_int request in
    Server.stream (fun sink -> ignore (D.copy ~src:body ~dst:sink ()))
  in
  with_server echo @@ fun client ->
  let text = String.make 1_000_000 'x' in
  let write sink = D.write_string sink text in
  let post () = snd (Client.post client (uri "http://a/") (Stream (None, write))) in
  bool "all of it" true
    (List.for_all (( = ) text) (Soil.Task.map (fun _ -> post ()) [ 1; 2; 3; 4 ]))

(* The last response of a connection that ends is sent whole, to a client that reads it slowly. *)
let last_response () =
  let headers = H.init_with "connection" "close" in
  with_server (fun _ -> Server.string ~headers large) @@ fun client ->
  for i = 1 to 2 do
    let body =
      Client.request client `GET (uri "http://a/") (fun _ source ->
          Soil.Clock.sleep 0.02;
          D.read_all ~max:max_int source)
    in
    bool "whole" true (body = large);
    int "each on a connection of its own" i (Client.opened client)
  done

(* Connects to a server of [handler] in a task of [scope], by a flow of so many bytes. *)
let connect_through scope ~capacity handler ~host:_ ~port:_ =
  let ours, theirs = Soil.Flow.pair ~capacity () in
  let serve () =
    D.with_close theirs (fun d -> Server.connection ~http2:(Http2.server ()) d handler)
  in
  ignore (Soil.Task.spawn_daemon scope serve);
  ours

(* The time for a response begins again as long as the server takes the request. *)
let slow_upload () =
  let read = ref 0 in
  let handler request =
    let source = Server.body ~max:max_int request and b = Bytes.create 16384 in
    let rec go () =
      Soil.Clock.sleep 0.01;
      match D.read source b 0 (Bytes.length b) with
      | 0 -> ()
      | n ->
          read := !read + n;
          go ()
    in
    go ();
    Server.string "taken"
  in
  Soil.Task.scope @@ fun scope ->
  let connect = connect_through scope ~capacity:4096 handler in
  let http2 = { Client.default_limits.http2 with window_bytes = 65535 } in
  let limits = { Client.default_limits with head_seconds = 0.25; http2 } in
  let client = Client.create ~limits ~http2:(Http2.client ()) ~connect () in
  let body = Client.String (String.make 1_500_000 'u') in
  string "an answer" "taken" (snd (Client.post client (uri "http://a/") body));
  int "all of it" 1_500_000 !read;
  Client.close client

(* Requests to a host that can't be connected to fail together. *)
let no_connection () =
  let attempts = ref 0 in
  let connect ~host ~port:_ : Soil.Flow.t =
    incr attempts;
    Soil.Clock.sleep 0.01;
    Soil.Error.fail Connection_refused "connect" ~subject:host ~detail:""
  in
  let client = Client.create ~http2:(Http2.client ()) ~connect () in
  let one _ = try get client "http://a/" with Soil.Error _ -> "refused" in
  let answers = Soil.Task.map one (List.init 10 Fun.id) in
  bool "all" true (List.for_all (( = ) "refused") answers);
  int "one attempt" 1 !attempts

(* Tasks of one connection that all have more to send than it takes at once, before any of them waits
   for a response: one of them writes at a time, and one reads. *)
let many_writers () =
  let handler request =
    let source = Server.body ~max:max_int request and b = Bytes.create 4096 in
    let digest = ref 0 in
    let rec go () =
      Soil.Task.yield ();
      match D.read source b 0 (Bytes.length b) with
      | 0 -> ()
      | n ->
          for i = 0 to n - 1 do
            digest := (31 * !digest) + Bytes.get_uint8 b i
          done;
          go ()
    in
    go ();
    Server.string (string_of_int !digest)
  in
  Soil.Task.scope @@ fun scope ->
  let connect = connect_through scope ~capacity:1000 handler in
  let client = Client.create ~http2:(Http2.client ()) ~connect () in
  let post n =
    let text = String.init (8000 + (340 * n)) (fun i -> Char.chr (i * (n + 3) land 255)) in
    let wanted = String.fold_left (fun d c -> (31 * d) + Char.code c) 0 text in
    let body = Client.String text in
    string "what was sent" (string_of_int wanted) (snd (Client.post client (uri "http://a/") body))
  in
  Soil.Task.iter post (List.init 24 Fun.id);
  int "one connection" 1 (Client.opened client);
  Client.close client

(* A client that opens more streams than a second may have waits for the next one. *)
let paced () =
  let http2 = { Server.default_limits.http2 with streams_per_second = 10 } in
  let limits = { Server.default_limits with http2 } in
  with_server ~limits (fun _ -> Server.string "ok") @@ fun client ->
  let begun = Soil.Clock.monotonic () in
  let seconds () = int_of_float (Soil.Clock.monotonic () -. begun) in
  for _ = 1 to 10 do
    ignore (get client "http://a/")
  done;
  int "at once" 0 (seconds ());
  for _ = 1 to 25 do
    ignore (get client "http://a/")
  done;
  bool "by and by" true (seconds () >= 2)

let tests =
  [
    in_run "heads in the order of their streams" in_order;
    in_run "full in both directions" full_both_ways;
    in_run "many writers" many_writers;
    in_run "reading is handed on" handed_on;
    in_run "requests" requests;
    in_run "streams at a time" concurrent;
    in_run "more requests than streams" many;
    in_run "trailers and interim responses" trailers_and_hints;
    in_run "both directions" both_directions;
    in_run "bodies that aren't read" unread;
    in_run "responses that are given up" given_up;
    in_virtual_time "a request that is given up" cancelled;
    in_run "failures" failures;
    in_run "large heads and trailers" large_responses;
    in_run "WebSocket" websocket;
    in_run "urgency" urgency;
    in_virtual_time "streams in a second" paced;
    in_virtual_time "the last response" last_response;
    in_virtual_time "a slow upload" slow_upload;
    in_virtual_time "no connection" no_connection;
    in_virtual_time "an idle connection" idle;
    in_run "requests after a pause" together_after_a_pause;
    in_virtual_time "a silent server" silent;
    in_run "requests that are given up, and again" reset_and_again;
    in_run "a proxy from 2 to 2" (between_versions ~front:true ~back:true);
    in_run "a proxy from 2 to 1.1" (between_versions ~front:true ~back:false);
    in_run "a proxy from 1.1 to 2" (between_versions ~front:false ~back:true);
    in_run "a proxy from 1.1 to 1.1" (between_versions ~front:false ~back:false);
  ]
