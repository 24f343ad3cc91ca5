(* Soil_http.Test: its requests, connections and cookies, in virtual time. *)
open Check
module Test = Soil_http.Test
module Client = Soil_http.Client
module H = Cohttp.Header

(* Also ends a test that hangs, in real time. *)
let code (r : Test.response) = Cohttp.Code.code_of_status r.status
let field (r : Test.response) name = Option.value (H.get r.headers name) ~default:"none"

let show request =
  let head = Server.head request in
  let fields = List.map (fun (n, v) -> n ^ "=" ^ v) (H.to_list head.headers) in
  let fields = List.filter (fun f -> f <> "user-agent=soil") fields in
  let body = Server.body_string request in
  Server.string
    (String.concat " "
       ((Cohttp.Code.string_of_method head.meth :: head.resource :: fields) @ [ "[" ^ body ^ "]" ]))

let requests () =
  Test.run show @@ fun t ->
  let get ?headers target = (Test.get ?headers t target).body in
  string "GET" "GET /a%2Fb?x=1 host=localhost []" (get "/a%2Fb?x=1");
  string "another host, a field" "GET / host=api.example x=1 []"
    (get "https://api.example/" ~headers:(H.init_with "x" "1"));
  string "POST" "POST /p host=localhost content-length=4 [text]" (Test.post t "/p" "text").body;
  string "a form"
    "POST /f host=localhost content-type=application/x-www-form-urlencoded content-length=23 \
     [user=a%20%26%20b&x=%2By]"
    (Test.post_form t "/f" [ ("user", "a & b"); ("x", "+y") ]).body;
  let write sink = D.write_string sink "pieces" in
  string "a stream" "PUT / host=localhost transfer-encoding=chunked [pieces]"
    (Test.request t `PUT "/" ~body:(Stream (None, write))).body;
  let head = Test.request t `HEAD "/" in
  string "HEAD" "" head.body;
  string "its length" "24" (field head "content-length");
  int "one connection for each host" 2 (Client.opened (Test.client t))

(* The server's own limits, errors and statuses, and the end of a connection after them. *)
let limits () =
  let limits = { Server.default_limits with body_bytes = 10; fields = 5 } in
  let answer request =
    match Server.path request with
    | "/body" -> Server.string (Server.body_string request)
    | "/redirect" -> Server.redirect "/body"
    | _ -> raise (Server.Refused `Forbidden)
  in
  Test.run answer ~limits ~error:Server.Error.problem @@ fun t ->
  int "small" 200 (code (Test.post t "/body" "small"));
  int "too large" 413 (code (Test.post t "/body" (String.make 11 'x')));
  let many = H.of_list (List.init 6 (fun i -> (Printf.sprintf "x%d" i, ""))) in
  int "fields" 431 (code (Test.get t "/body" ~headers:many));
  let r = Test.get t "/" in
  int "refused" 403 (code r);
  string "as JSON" {|{"title":"Forbidden","status":403}|} r.body;
  string "a redirect isn't followed" "/body" (field (Test.get t "/redirect") "location");
  let d = Test.connect t in
  D.write_string d "GET / HTTP/1.1\n\n";
  string "raw" "400" (status (D.read_all d))

(* What is reported and logged has been when a response is there, also by a connection that ends. *)
let exceptions () =
  let caught = ref [] and entries = ref [] and ends = ref [] in
  let answer request =
    match Server.path request with
    | "/raises" -> failwith "handler"
    | "/stream" ->
        let on_end ending = ends := ending :: !ends in
        Server.stream ~on_end (fun sink ->
            D.write_string sink "some";
            failwith "stream")
    | _ ->
        Server.stream ~on_end:(fun e -> ends := e :: !ends) (fun sink -> D.write_string sink "all")
  in
  let on_error = function Failure what -> caught := what :: !caught | e -> raise e in
  let log e = entries := Server.entry_to_string { e with started = 0.; seconds = 0. } :: !entries in
  Test.run answer ~on_error ~log (fun t ->
      int "raises" 500 (code (Test.get t "/raises"));
      strings "reported" [ "handler" ] !caught;
      string "whole" "all" (Test.get t "/").body;
      bool "sent" true (!ends = [ Server.Sent ]);
      (match Test.get t "/stream" with
      | _ -> Alcotest.fail "a stream that was cut"
      | exception Client.Failed (_, Truncated) -> ());
      bool "cut" true (!ends = [ Server.Cut; Sent ]));
  strings "both" [ "stream"; "handler" ] !caught;
  let peer = "1970-01-01T00:00:00.000Z 192.0.2.1:50000 " in
  let is_of entry line = String.starts_with ~prefix:(peer ^ entry) line in
  bool "logged" true
    (List.for_all2 is_of
       [ {|"GET /raises HTTP/1.1" 500|}; {|"GET / HTTP/1.1" 200|}; {|"GET /stream HTTP/1.1" 200|} ]
       (List.rev !entries));
  (* As a failure of the test, once. *)
  let on_error = function Failure _ -> raise Exit | _ -> () in
  List.iter
    (fun http2 ->
      match Test.run answer ~http2 ~on_error (fun t -> ignore (Test.get t "/raises")) with
      | () -> Alcotest.fail "not raised"
      | exception Exit -> ())
    [ false; true ];
  match Test.run answer ~on_error:raise (fun t -> ignore (Test.get t "/raises")) with
  | () -> Alcotest.fail "not raised"
  | exception Failure what -> string "raised" "handler" what

(* Timeouts of the handler and of the server, and rates, take their time by the virtual clock. *)
let times () =
  let start = Soil.Clock.now () in
  let passed what seconds =
    Alcotest.(check (float 0.01)) what seconds (Soil.Clock.now () -. start)
  in
  let answer request =
    match Server.path request with
    | "/slow" ->
        Soil.Clock.sleep 3600.;
        Server.string "slow"
    | "/body" -> Server.string (Server.body_string request)
    | _ -> Server.string "quick"
  in
  let limit = Soil_http.Limit.create ~rate:0.1 ~burst:2 () in
  let app = Soil_http.Limit.handler limit answer in
  Test.run app @@ fun t ->
  string "quick" "quick" (Test.get t "/").body;
  passed "nothing waits" 0.;
  string "slow" "slow" (Test.get t "/slow").body;
  passed "an hour" 3600.;
  let limited = Soil_http.Middleware.timeout 10. answer in
  Test.run limited (fun t -> int "too slow" 503 (code (Test.get t "/slow")));
  passed "the timeout" 3610.;
  string "again" "quick" (Test.get t "/").body;
  string "twice" "quick" (Test.get t "/").body;
  let r = Test.get t "/" in
  int "too many" 429 (code r);
  string "soon" "10" (field r "retry-after");
  (* Another client has a bucket of its own. *)
  let endpoint = Soil.Net.Endpoint.of_string "[2001:db8::1]:80" in
  Test.run app ~endpoint (fun other -> int "another" 200 (code (Test.get other "/")));
  Soil.Clock.sleep 10.;
  int "later" 200 (code (Test.get t "/"));
  passed "in between" 3620.;
  let stalls sink =
    D.write_string sink "a";
    Soil.Clock.sleep 100.
  in
  Soil.Clock.sleep 20.;
  int "a slow body" 408 (code (Test.request t `POST "/body" ~body:(Stream (None, stalls))))

(* A handler that never responds, and a client that doesn't wait for it. *)
let leaving () =
  let left = ref 0 in
  let never _ =
    Fun.protect ~finally:(fun () -> incr left) (fun () -> Soil.Task.Promise.(await (create ())))
  in
  Test.run never (fun t ->
      bool "in time" true (Soil.Task.timeout_opt 5. (fun () -> Test.get t "/") = None);
      (match Test.get t "/" with
      | _ -> Alcotest.fail "a response"
      | exception Client.Failed (_, Too_slow) -> ());
      Soil.Clock.sleep 2.;
      int "cancelled" 2 !left;
      let d = Test.connect t in
      D.write_string d (get "/");
      Soil.Task.yield ());
  int "at the end" 3 !left;
  (* A connection that has begun no request. *)
  Test.run never (fun t -> ignore (Test.connect t))

let persistent () =
  let count = ref 0 in
  let answer request =
    incr count;
    let closes = Server.path request = "/close" in
    let headers = if closes then H.init_with "connection" "close" else H.init () in
    Server.string ~headers (string_of_int !count)
  in
  Test.run answer @@ fun t ->
  let opened () = Client.opened (Test.client t) in
  for i = 1 to 3 do
    string "in turn" (string_of_int i) (Test.get t "/").body
  done;
  int "one connection" 1 (opened ());
  ignore (Test.get t "/close");
  ignore (Test.get t "/");
  int "another" 2 (opened ());
  (* Its server has closed it by then. *)
  Soil.Clock.sleep 40.;
  ignore (Test.get t "/");
  int "a third" 3 (opened ());
  Soil.Task.iter (fun _ -> ignore (Test.get t "/")) (List.init 8 Fun.id);
  int "all" 14 !count;
  let d = Test.connect t in
  D.write_string d (get "/" ^ get "/");
  D.shutdown d `Send;
  let answers = D.read_all d in
  bool "pipelined" true (String.ends_with ~suffix:"\r\n\r\n16" answers)

let cookies () =
  let answer request =
    let sent =
      String.concat "; " (List.map (fun (n, v) -> n ^ "=" ^ v) (Soil_http.Cookie.all request))
    in
    let headers =
      List.map (fun (_, vs) -> ("set-cookie", String.concat "," vs)) (Server.query request)
    in
    Server.string ~headers:(H.of_list headers) sent
  in
  let set t fields =
    ignore
      (Test.get t ("/deep/set?" ^ Uri.encoded_of_query (List.map (fun f -> ("c", [ f ])) fields)))
  in
  Test.run answer ~cookies:true (fun t ->
      let sent what expected target = string what expected (Test.get t target).body in
      set t [ "a=1; Path=/"; "b=2"; "c=3; path=/deep/er; Secure"; "d=4; Path=/; Max-Age=60" ];
      sent "a path" "b=2; a=1; d=4" "/deep/x?";
      sent "the root" "a=1; d=4" "/";
      sent "a prefix that isn't a path" "a=1; d=4" "/deeper";
      sent "longer paths first" "c=3; b=2; a=1; d=4" "/deep/er";
      sent "another host" "" "http://other.example/deep/er";
      string "a field of the test's own" "x=y"
        (Test.get t "/" ~headers:(H.init_with "cookie" "x=y")).body;
      Soil.Clock.sleep 61.;
      sent "later" "a=1" "/";
      set t [ "a=; Path=/; Max-Age=0"; "e=5; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT" ];
      set t [ "f=6; Path=/; Expires=Sat, 01 Jan 2000 01:00:00 GMT" ];
      sent "removed" "f=6" "/";
      Soil.Clock.sleep 3600.;
      sent "expired" "" "/");
  Test.run answer (fun t ->
      set t [ "a=1; Path=/" ];
      string "unless kept" "" (Test.get t "/").body)

(* A log-in with a session, whose form is protected, and which ends after an hour. *)
let sessions () =
  let module Session = Soil_http.Session in
  let module Csrf = Soil_http.Csrf in
  let sessions = Session.create (Session.memory ()) in
  let answer request =
    match (Server.meth request, Server.path request) with
    | `GET, "/form" -> Server.string (Csrf.token sessions request)
    | `POST, "/log-in" ->
        Session.renew sessions request;
        let user = Soil_http.Form.find (Csrf.form request) "user" in
        Session.set sessions request "user" (Option.get user);
        Server.redirect "/"
    | _ -> Server.string (Option.value (Session.find sessions request "user") ~default:"nobody")
  in
  let app = Soil_http.Middleware.all [ Session.handler sessions; Csrf.handler sessions ] answer in
  Test.run app ~cookies:true @@ fun t ->
  string "before" "nobody" (Test.get t "/").body;
  int "forged" 403 (code (Test.post_form t "/log-in" [ ("user", "eve") ]));
  let token = (Test.get t "/form").body in
  int "log-in" 303 (code (Test.post_form t "/log-in" [ ("user", "ann"); ("csrf", token) ]));
  string "after" "ann" (Test.get t "/").body;
  Soil.Clock.sleep 3000.;
  string "in use" "ann" (Test.get t "/").body;
  Soil.Clock.sleep 4000.;
  string "idle" "nobody" (Test.get t "/").body

(* Streams piece by piece, and WebSockets. *)
let streams () =
  let module W = Soil_http.Websocket in
  let answer request =
    match Server.path request with
    | "/ws" -> W.accept request (fun ws -> W.iter (W.send ws) ws)
    | _ ->
        Server.stream (fun sink ->
            for i = 1 to 3 do
              D.write_string sink (string_of_int i);
              Soil.Clock.sleep 1000.
            done)
  in
  Test.run answer @@ fun t ->
  let uri path = Uri.of_string ("http://localhost" ^ path) in
  let start = Soil.Clock.now () in
  let pieces =
    Client.request (Test.client t) `GET (uri "/stream") @@ fun _ source ->
    let b = Bytes.create 100 in
    let rec go pieces =
      match D.read source b 0 100 with
      | 0 -> List.rev pieces
      | n ->
          let at = int_of_float (Soil.Clock.now () -. start) in
          go (Printf.sprintf "%s at %d" (Bytes.sub_string b 0 n) at :: pieces)
    in
    go []
  in
  strings "pieces" [ "1 at 0"; "2 at 1000"; "3 at 2000" ] pieces;
  W.Client.connect (Test.client t) (Uri.of_string "wss://localhost/ws") @@ fun ws ->
  W.send ws (Text "hello");
  bool "echo" true (W.receive ws = Some (W.Text "hello"))

(* Peers, and real time. *)
let peers () =
  let answer request =
    let address = Option.map (fun (e : Soil.Net.Endpoint.t) -> e.port) (Server.endpoint request) in
    Server.string (Server.peer request ^ " " ^ string_of_int (Option.get address))
  in
  Test.run answer (fun t -> string "a client" "192.0.2.1:50000 50000" (Test.get t "/").body);
  let endpoint = Soil.Net.Endpoint.of_string "10.0.0.9:77" in
  Test.run answer ~endpoint (fun t -> string "another" "10.0.0.9:77 77" (Test.get t "/").body);
  let client, server = Soil.Flow.pair () in
  D.write_string client (get "/");
  D.shutdown client `Send;
  Server.connection ~peer:"named" ~endpoint server answer;
  D.close server;
  bool "a name of its own" true (String.ends_with ~suffix:"named 77" (D.read_all client))

(* The same in HTTP/2, whose requests share a connection. *)
let version_2 () =
  let caught = ref [] in
  let answer request =
    match Server.path request with
    | "/raises" -> failwith "handler"
    | "/slow" ->
        Soil.Clock.sleep 1.;
        Server.string "slow"
    | "/set" -> Server.string ~headers:(H.init_with "set-cookie" "a=1") "set"
    | _ -> show request
  in
  let on_error = function Failure what -> caught := what :: !caught | e -> raise e in
  Test.run answer ~http2:true ~cookies:true ~on_error @@ fun t ->
  string "POST" "POST /p host=localhost content-length=4 [text]" (Test.post t "/p" "text").body;
  string "HEAD" "" (Test.request t `HEAD "/").body;
  ignore (Test.get t "/set");
  string "a cookie" "GET / host=localhost cookie=a=1 []" (Test.get t "/").body;
  int "raises" 500 (code (Test.get t "/raises"));
  strings "reported" [ "handler" ] !caught;
  int "too large" 413 (code (Test.post t "/p" (String.make 2_000_000 'x')));
  let start = Soil.Clock.now () in
  Soil.Task.iter (fun _ -> string "slow" "slow" (Test.get t "/slow").body) (List.init 20 Fun.id);
  Alcotest.(check (float 0.1)) "at the same time" 1. (Soil.Clock.now () -. start);
  int "one connection" 1 (Client.opened (Test.client t))

let tests =
  [
    in_virtual_time "requests" requests;
    in_virtual_time "limits and errors" limits;
    in_virtual_time "exceptions" exceptions;
    in_virtual_time "time" times;
    in_virtual_time "clients that leave" leaving;
    in_virtual_time "persistent connections" persistent;
    in_virtual_time "cookies" cookies;
    in_virtual_time "a session" sessions;
    in_virtual_time "streams" streams;
    in_virtual_time "HTTP/2" version_2;
    in_run "peers" peers;
  ]
