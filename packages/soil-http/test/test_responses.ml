(* What a server sends, and what becomes of the connection. *)
open Check
module H = Cohttp.Header

let answered what wanted ?limits handler pieces =
  string what wanted (plain (answers ?limits handler pieces))

let hello _ = Server.string "hello"
let ok = "HTTP/1.1 200 OK|content-length: 5|"

let kept () =
  answered "two requests" (ok ^ "|hello" ^ ok ^ "|hello") hello [ get "/"; get "/" ];
  answered "in one piece" (ok ^ "|hello" ^ ok ^ "|hello") hello [ get "/" ^ get "/" ];
  let close = get "/" ~fields:"Connection: close\r\n" in
  answered "the client closes" (ok ^ "connection: close||hello") hello [ close; get "/" ];
  let close = get "/" ~fields:"Connection: keep-alive, CLOSE\r\n" in
  answered "in a list" (ok ^ "connection: close||hello") hello [ close; get "/" ];
  let closes _ = Server.string ~headers:(H.init_with "connection" "close") "hello" in
  answered "the handler closes" (ok ^ "connection: close||hello") closes [ get "/"; get "/" ]

let old () =
  let old fields = "GET / HTTP/1.0\r\n" ^ fields ^ "\r\n" in
  answered "1.0 closes" (ok ^ "connection: close||hello") hello [ old ""; old "" ];
  let keeps = old "Connection: Keep-Alive\r\n" in
  answered "unless it asks"
    (ok ^ "connection: keep-alive||hello" ^ ok ^ "connection: close||hello")
    hello
    [ keeps; old "" ];
  let stream _ = Server.stream (fun sink -> D.write_string sink "hello") in
  answered "without a length it ends with the connection" "HTTP/1.1 200 OK|connection: close||hello"
    stream [ keeps ]

let heads () =
  let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" in
  answered "the length of the body" (ok ^ "|" ^ ok ^ "|hello") hello [ head; get "/" ];
  let stream _ = Server.stream (fun _ -> failwith "the body of a response to HEAD") in
  answered "without a length" "HTTP/1.1 200 OK|transfer-encoding: chunked||" stream [ head ]

let without_body () =
  let only status _ = Server.status status in
  answered "204" "HTTP/1.1 204 No Content||" (only `No_content) [ get "/" ];
  answered "304" "HTTP/1.1 304 Not Modified||" (only `Not_modified) [ get "/" ];
  answered "404"
    "HTTP/1.1 404 Not Found|content-type: text/plain; charset=utf-8|content-length: 14||404 Not \
     Found|"
    (only `Not_found)
    [ get "/" ]

let streams () =
  let stream _ =
    Server.stream (fun sink ->
        D.write_string sink "hello ";
        D.write_string sink "";
        D.write_string sink "world, sixteen!")
  in
  answered "chunks" "HTTP/1.1 200 OK|transfer-encoding: chunked||6|hello |f|world, sixteen!|0||"
    stream
    [ get "/" ];
  let promised length _ = Server.stream ~length (fun sink -> D.write_string sink "hello") in
  answered "with a length" (ok ^ "|hello") (promised 5) [ get "/" ];
  let fails length =
    match answers (promised length) [ get "/" ] with
    | _ -> Alcotest.fail "a wrong length"
    | exception Failure _ -> ()
  in
  fails 4;
  fails 6

let large = String.init 300_000 (fun i -> Char.chr (32 + (i * 7 mod 90)))

let buffers () =
  let b = Bigarray.Array1.init Char C_layout (String.length large) (String.get large) in
  let body_of text =
    String.sub text (String.length text - String.length large) (String.length large)
  in
  string "a bigarray" large (body_of (answers (fun _ -> Server.buffer b) [ get "/" ]));
  string "a long string" large (body_of (answers (fun _ -> Server.string large) [ get "/" ]));
  let copy _ =
    Server.stream ~length:(String.length large) (fun sink ->
        ignore (D.copy ~src:(Soil.Flow.of_string large) ~dst:sink ()))
  in
  string "a flow" large (body_of (answers copy [ get "/" ]))

let split () =
  let evil _ = Server.string ~headers:(H.init_with "x" "a\r\nset-cookie: b") "hello" in
  match answers evil [ get "/" ] with
  | _ -> Alcotest.fail "a line break in a field"
  | exception Invalid_argument _ -> ()

let own_fields () =
  let fields = [ ("Content-Length", "7"); ("transfer-encoding", "x"); ("Date", "today") ] in
  answered "left out" "HTTP/1.1 200 OK|Date: today|content-length: 5||hello"
    (fun _ -> Server.string ~headers:(H.of_list fields) "hello")
    [ get "/" ]

(* Every number that Cohttp has a name for, and some that it hasn't. *)
let numbers () =
  for n = 200 to 599 do
    let named = Cohttp.Code.status_of_code n in
    let line status =
      let text = answers (fun _ -> Server.string ~status "") [ get "/" ] in
      String.sub text 0 (String.index text '\r')
    in
    string "by its number" (line named) (line (`Code n));
    bool (string_of_int n) true
      (String.starts_with ~prefix:("HTTP/1.1 " ^ string_of_int n ^ " ") (line named))
  done

exception Mistake

let mistakes () =
  let client, server = Soil.Flow.pair () in
  D.write_string client (get "/" ^ get "/");
  D.shutdown client `Send;
  (match Server.connection server (fun _ -> raise Mistake) with
  | () -> Alcotest.fail "the mistake is gone"
  | exception Mistake -> D.close server);
  string "500, and the end"
    "HTTP/1.1 500 Internal Server Error|content-type: text/plain; charset=utf-8|content-length: \
     26|connection: close||500 Internal Server Error|"
    (plain (D.read_all client))

let raised () =
  let refuse _ = raise (Server.Refused `Forbidden) in
  let wanted =
    "HTTP/1.1 403 Forbidden|content-type: text/plain; charset=utf-8|content-length: 14||403 \
     Forbidden|"
  in
  answered "twice, on one connection" (wanted ^ wanted) refuse [ get "/"; get "/" ]

let post ?(fields = "") body =
  Printf.sprintf "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n%s" (String.length body)
    fields body

let unread () =
  answered "a short body that isn't read is skipped"
    (ok ^ "|hello" ^ ok ^ "|hello")
    hello
    [ post "GET /smuggled HTTP/1.1\r\n\r\n"; get "/" ];
  answered "a long one ends the connection" (ok ^ "connection: close||hello") hello
    [ post large; get "/" ]

let expects () =
  let fields = "Expect: 100-continue\r\n" in
  let reads r = Server.string (Server.body_string r) in
  answered "asked for" ("HTTP/1.1 100 Continue||" ^ ok ^ "|world") reads [ post ~fields "world" ];
  answered "not asked for" (ok ^ "connection: close||hello") hello [ post ~fields "world"; get "/" ];
  answered "nothing to ask for" "HTTP/1.1 200 OK|content-length: 0||" reads [ post ~fields "" ];
  let echo r =
    let body = Server.body r in
    Server.stream (fun sink -> ignore (D.copy ~src:body ~dst:sink ()))
  in
  answered "asked for before the response begins"
    "HTTP/1.1 100 Continue||HTTP/1.1 200 OK|transfer-encoding: chunked||5|world|0||" echo
    [ post ~fields "world" ];
  let refuses r = Server.string (Server.body_string ~max:4 r) in
  bool "refused before it comes" true
    (String.starts_with ~prefix:"HTTP/1.1 413 " (answers refuses [ post ~fields "world" ]))

let bounded () =
  let length max r = Server.string (string_of_int (String.length (Server.body_string ~max r))) in
  let chunked body =
    Printf.sprintf
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
      (String.length body) body
  in
  string "as much as is allowed" "200" (status (answers (length 300_000) [ chunked large ]));
  string "a byte more" "413" (status (answers (length 299_999) [ chunked large ]));
  string "a byte more, by its length" "413" (status (answers (length 299_999) [ post large ]))

(* All that a client gets that asks once, and then neither asks nor closes. *)
let rec after_a_response ?(tries = 20) () =
  let client, server = Soil.Flow.pair () in
  D.write_string client (get "/");
  let serve () =
    let limits = { Server.default_limits with idle_seconds = 0.05 } in
    D.with_close server (fun server -> Server.connection ~limits server hello)
  in
  let receive () = D.with_close client D.read_all in
  let (), text = Soil.Task.both serve receive in
  (* Where this process had to wait for its turn, the request was too late, too. *)
  if text = "" && tries > 1 then after_a_response ~tries:(tries - 1) () else text

(* Only one of the limits is short: where this process has to wait for its turn, another one would
   be over before what it is for has come. *)
let slow () =
  let waits what wanted limits pieces =
    let text = answers ~limits ~shut:false echo pieces in
    string what wanted (status text)
  in
  let default = Server.default_limits in
  waits "nothing comes" "none" { default with idle_seconds = 0.05 } [];
  waits "half a head" "408" { default with head_seconds = 0.05 } [ "GET / HTTP/1.1\r\nHo" ];
  waits "half a body" "408"
    { default with body_seconds = 0.05 }
    [ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe" ];
  string "nothing comes after a response" (ok ^ "|hello") (plain (after_a_response ()))

(* A client that doesn't read holds no task. *)
let stalled () =
  let client, server = Soil.Flow.pair () in
  D.write_string client (get "/");
  let limits = { Server.default_limits with write_seconds = 0.05 } in
  Server.connection ~limits server (fun _ -> Server.string large);
  D.close client;
  D.close server

let logged () =
  let entries = ref [] in
  let log e =
    let id = Option.map (fun _ -> "7") e.Server.id in
    let e = { e with id; started = 0.; seconds = 0.; bytes = 0 } in
    entries := Server.entry_to_string e :: !entries
  in
  let handler r = if Server.path r = "/" then hello r else raise (Server.Refused `Not_found) in
  ignore (answers ~log handler [ get "/?a"; get "/x\""; "nonsense\r\n\r\n" ]);
  strings "entries"
    [
      "1970-01-01T00:00:00.000Z pair \"GET /?a HTTP/1.1\" 200 0 bytes 0.0 ms 7";
      "1970-01-01T00:00:00.000Z pair \"GET /x\\\" HTTP/1.1\" 404 0 bytes 0.0 ms 7";
      "1970-01-01T00:00:00.000Z pair \"-\" 400 0 bytes 0.0 ms";
    ]
    (List.rev !entries)

let formats () =
  let entries = ref [] in
  let log e =
    let id = Option.map (fun _ -> "7") e.Server.id in
    entries := { e with Server.started = 784111777.25; seconds = 0.5; id } :: !entries
  in
  let fields = "Referer: http://b/\r\nUser-Agent: a\"b\\c\tä\xff\r\n" in
  let before = Soil.Clock.now () in
  let real = ref 0. in
  let log e = real := e.Server.started; log e in
  ignore (answers ~log hello [ get "/x?\"y" ~fields; "nonsense\r\n\r\n" ]);
  bool "when it came" true (before <= !real && !real <= Soil.Clock.now ());
  let of_an_address (e : Server.entry) =
    { e with endpoint = Some (Soil.Net.Endpoint.of_string "192.0.2.1:4242"); request = None }
  in
  let open Soil_http.Access_log in
  match List.rev !entries with
  | [ first; refused ] ->
      let line = {|pair - - [06/Nov/1994:08:49:37 +0000] "GET /x?\"y HTTP/1.1" 200 5|} in
      string "common" line (common first);
      string "combined" (line ^ {| "http://b/" "a\"b\\c\x09\xc3\xa4\xff"|}) (combined first);
      string "JSON"
        ({|{"time":"1994-11-06T08:49:37.250Z","peer":"pair","method":"GET","target":"/x?\"y",|}
        ^ {|"protocol":"HTTP/1.1","host":"a","referer":"http://b/","user_agent":"a\"b\\c\u0009ä�","id":"7",|}
        ^ Printf.sprintf {|"status":200,"bytes":%d,"body_bytes":5,"seconds":0.500000}|} first.bytes)
        (json first);
      string "not understood" {|192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] "-" 400 16|}
        (common (of_an_address refused));
      string "no fields" {|192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] "-" 400 16 "-" "-"|}
        (combined (of_an_address refused))
  | _ -> Alcotest.fail "not an entry for each response"
[@@ocamlformat "disable"]

let accessors () =
  let show r =
    Server.string
      (String.concat " "
         [
           Server.path r;
           String.concat "," (List.assoc "b" (Server.query r));
           Option.get (Server.header r "X-Some");
           Server.peer r;
         ])
  in
  let text = answers show [ get "/a%20b?b=%31,2&c" ~fields:"x-some: y\r\n" ] in
  bool "what a request has" true (String.ends_with ~suffix:"/a%20b 1,2 y pair" text)

(* The time of a body is that which the client takes. *)
let slow_handler () =
  let limits = { Server.default_limits with body_seconds = 0.5; body_rate = max_int } in
  let handler r =
    let body = Server.body r in
    D.really_read body (Bytes.create 1) 0 1;
    Soil.Clock.sleep 0.6;
    Server.string (string_of_int (1 + String.length (D.read_all body)))
  in
  let text = answers ~limits handler [ post large ] in
  bool "all of it" true (String.ends_with ~suffix:"|300000" (plain text))

(* It goes on from read to read: a client that always sends a byte in time is too slow all the same. *)
let dripping () =
  let limits = { Server.default_limits with body_seconds = 0.2; body_rate = max_int } in
  let client, server = Soil.Flow.pair () in
  D.write_string client "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
  let serve () = D.with_close server (fun server -> Server.connection ~limits server echo) in
  let rec drip () =
    match D.write_string client "x" with
    | () ->
        Soil.Clock.sleep 0.01;
        drip ()
    | exception Soil.Error _ -> ()
  in
  let ask () =
    let line = Soil.Reader.line (Soil.Reader.create client) in
    D.close client;
    line
  in
  let line, ((), ()) = Soil.Task.both ask (fun () -> Soil.Task.both serve drip) in
  string "too slow" "408" (status line)

(* A handler that waits for a task that was cancelled has failed as with any other exception. *)
let cancelled_elsewhere () =
  let awaits _ =
    Soil.Task.scope @@ fun scope ->
    let task = Soil.Task.spawn scope (fun () -> Soil.Clock.sleep infinity) in
    Soil.Task.cancel task;
    Soil.Task.await task;
    Server.string "not reached"
  in
  let client, server = Soil.Flow.pair () in
  D.write_string client (get "/");
  (match Server.connection server awaits with
  | () -> Alcotest.fail "no exception"
  | exception Soil.Task.Cancelled -> ());
  D.close server;
  string "answered" "500" (status (D.read_all client))

(* Nothing follows a write that was cut, where it would be taken for the rest of that. *)
let cut () =
  let client, server = Soil.Flow.pair () in
  let is_cut = Soil.Task.Promise.create () in
  let handler _ =
    Server.stream @@ fun sink ->
    ignore (Soil.Task.timeout_opt 0.01 (fun () -> D.write_string sink large));
    Soil.Task.Promise.fulfil is_cut ();
    fails_with_closed (fun () -> D.write_string sink "more")
  in
  D.write_string client (get "/" ^ get "/");
  let serve () = D.with_close server (fun server -> Server.connection server handler) in
  let receive () =
    Soil.Task.Promise.await is_cut;
    D.read_all client
  in
  let (), text = Soil.Task.both serve receive in
  bool "one response" true (String.starts_with ~prefix:"HTTP/1.1 200 OK" text);
  bool "without an end" false (String.ends_with ~suffix:"\r\n" text)

(* What a listener's connections report. *)

let loopback f =
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  D.with_close listener (fun listener ->
      f listener (fun () -> Soil.Tcp.connect (Soil.Tcp.local listener)))

(* What a handler raises is reported with what it answered, and ends nothing else. *)
let exceptions () =
  let lines = ref [] and ids = ref [] and reported = ref [] in
  Server.on_exception (fun what e _ ->
      reported := Server.Request.current_id () :: !reported;
      lines := (what () ^ Printexc.to_string e) :: !lines;
      failwith "a report that fails");
  let handler r =
    ids := Some (Server.Request.id r) :: !ids;
    match Server.path r with
    | "/fails" -> failwith "a mistake"
    | "/stream" -> Server.stream (fun _ -> failwith "a late mistake")
    | _ -> Server.string (Soil.Net.Endpoint.to_string (Option.get (Server.endpoint r)))
  in
  ( loopback @@ fun listener connect ->
    let ask target =
      D.with_close (connect ()) (fun c ->
          D.write_string c (get target ~fields:"Connection: close\r\n");
          (Soil.Net.Endpoint.to_string (Soil.Tcp.local c), D.read_all c))
    in
    let clients () =
      let first, answer = ask "/fails?secret" in
      string "answered" "500" (status answer);
      let second, _ = ask "/stream" in
      let third, answer = ask "/" in
      bool "its endpoint" true (String.ends_with ~suffix:("\r\n\r\n" ^ third) answer);
      strings "reports"
        [
          "http " ^ first ^ " GET /fails: exception Failure(\"a mistake\")";
          "http " ^ second ^ " GET /stream: exception Failure(\"a late mistake\")";
        ]
        (List.rev !lines);
      bool "their requests" true (List.rev !reported = [ List.nth !ids 2; List.nth !ids 1 ])
    in
    Soil.Task.first [ (fun () -> Server.serve listener handler); clients ] );
  Server.on_exception Soil.Private.report

(* Clients stay connected until each domain has one. *)
let several_domains () =
  Soil.run @@ fun () ->
  Soil.Task.timeout patience @@ fun () ->
  loopback @@ fun listener connect ->
  let serves = Array.init 3 (fun _ -> Atomic.make false) in
  let handler _ =
    Atomic.set serves.(Soil.Domain.self ()) true;
    Server.string "served"
  in
  let ask () =
    let c = connect () in
    D.write_string c (get "/");
    let line = Bytes.create 15 in
    D.really_read c line 0 15;
    string "answered" "HTTP/1.1 200 OK" (Bytes.to_string line);
    c
  in
  let rec until_all_serve () =
    if not (Array.for_all Atomic.get serves) then
      D.with_close (ask ()) (fun _ -> until_all_serve ())
  in
  Soil.Task.first
    [
      (fun () -> Soil.Domain.each ~domains:3 (fun _ -> Server.serve listener handler));
      until_all_serve;
    ]

let handshakes () =
  loopback @@ fun listener connect ->
  loopback @@ fun hasty connect_to_hasty ->
  let reported = Soil.Task.Stream.create 10 in
  let on_error c e =
    let reason =
      match e with Soil.Error e -> Soil.Error.to_string e | e -> Printexc.to_string e
    in
    bool "the connection is still there" true (D.is_open c);
    Soil.Task.Stream.push reported reason
  in
  let secure c =
    match Char.chr (let b = Bytes.create 1 in D.really_read c b 0 1; Bytes.get_uint8 b 0) with
    | 'f' -> Soil.Error.fail Tls "tls handshake" ~subject:"its peer" ~detail:"a reason"
    | 'm' -> failwith "a mistake"
    | 's' -> Soil.Clock.sleep infinity; assert false
    | _ -> Soil.Flow.make ~read:(D.read c) ~write:(D.write_some c) ~shutdown:(D.shutdown c) ()
  in
  let talk ?(connect = connect) first =
    D.with_close (connect ()) (fun c ->
        D.write_string c first;
        if first = "t" then D.write_string c (get "/" ~fields:"Connection: close\r\n");
        D.read_all c)
  in
  let clients () =
    string "another gets its page" "HTTP/1.1 200 OK|content-length: 5|connection: close||hello" (plain (talk "t"));
    List.iter
      (fun (first, wanted) ->
        string "nothing is sent" "" (talk first);
        string "reason" wanted (Soil.Task.Stream.take reported))
      [
        ("f", "tls handshake its peer: a reason");
        ("m", "Failure(\"a mistake\")");
      ];
    string "nothing is sent" "" (talk ~connect:connect_to_hasty "s");
    let subject = Soil.Task.Stream.take reported in
    bool subject true (String.starts_with ~prefix:"handshake tcp 127.0.0.1:" subject);
    bool subject true (String.ends_with ~suffix:": not within 0.05 s" subject)
  in
  let serve ?limits listener () = Server.serve ?limits ~on_error ~secure listener hello in
  let limits = { Server.default_limits with head_seconds = 0.05 } in
  Soil.Task.first [ serve listener; serve ~limits hasty; clients ]
[@@ocamlformat "disable"]

let upgraded () =
  let handler _ = Server.upgrade "echo" (fun flow -> ignore (D.copy ~src:flow ~dst:flow ())) in
  answered "what came with the request comes first"
    "HTTP/1.1 101 Switching Protocols|upgrade: echo|connection: upgrade||early and late" handler
    [ get "/" ~fields:"Connection: upgrade\r\nUpgrade: echo\r\n" ^ "early"; " and late" ]

let upgraded_once () =
  let handler _ = Server.upgrade "none" ignore in
  answered "what follows isn't a request"
    "HTTP/1.1 101 Switching Protocols|upgrade: none|connection: upgrade||" handler
    [ get "/" ~fields:"Connection: upgrade\r\nUpgrade: none\r\n" ^ get "/" ]

(* Dates *)

let dates () =
  let t = 784111777. in
  string "written" "Sun, 06 Nov 1994 08:49:37 GMT" (Soil_http.Date.to_string t);
  let read s = Alcotest.(check (option (float 0.))) s (Some t) (Soil_http.Date.of_string s) in
  List.iter read
    [
      "Sun, 06 Nov 1994 08:49:37 GMT"; "Sunday, 06-Nov-94 08:49:37 GMT"; "Sun Nov  6 08:49:37 1994";
    ];
  let refused s = Alcotest.(check (option (float 0.))) s None (Soil_http.Date.of_string s) in
  List.iter refused
    [
      "";
      "yesterday";
      "Sun, 31 Feb 1994 08:49:37 GMT";
      "Sun, 06 Nov 1994 24:49:37 GMT";
      "Sun, 06 Nov 1994 08:49:37 CET";
      "Sun, 06 Nov 1994 8:49:37 GMT";
      "Sun, 06 Now 1994 08:49:37 GMT";
    ]

let dates_are_inverse =
  property "a date that was written is read as it was"
    QCheck2.Gen.(int_bound 4_000_000_000)
    (fun n ->
      let t = float_of_int n in
      Soil_http.Date.(of_string (to_string t)) = Some t)

let tests =
  [
    in_run "a connection stays open unless one side doesn't want it" kept;
    in_run "HTTP/1.0 closes unless it asks" old;
    in_run "HEAD gets the head alone" heads;
    in_run "some statuses have no body" without_body;
    in_run "streams go in chunks, or by a length that has to be true" streams;
    in_run "long bodies go from bigarrays, strings and flows" buffers;
    in_run "a line break in a field is a mistake" split;
    in_run "the program can't contradict the framing" own_fields;
    in_run "statuses have the numbers of Cohttp's names" numbers;
    in_run "a handler's exception is answered and passed on" mistakes;
    in_run "Refused is answered, and the connection stays" raised;
    in_run "a body that isn't read isn't taken for a request" unread;
    in_run "a client that waits to be asked is asked by reading" expects;
    in_run "a body is at most as long as is allowed" bounded;
    in_run "a client that stalls gets 408, or the end" slow;
    in_run "a client that doesn't read ends the connection" stalled;
    in_run "the time for a body is the client's alone" slow_handler;
    in_run "the time for a body doesn't begin again at each read" dripping;
    in_run "the cancellation of another task is a failure of the handler" cancelled_elsewhere;
    in_run "nothing is sent behind a write that was cut" cut;
    in_run "each response has an entry in the log" logged;
    in_run "entries have the formats of other programs" formats;
    in_run "an exception of a handler is reported with its request" exceptions;
    test "a server of several domains" several_domains;
    in_run "a handshake that fails is reported" handshakes;
    in_run "accessors show path, query, fields and peer" accessors;
    in_run "an upgraded connection is a flow" upgraded;
    in_run "an upgraded connection has no more requests" upgraded_once;
    test "dates in three forms are read, one is written" dates;
    dates_are_inverse;
  ]
