(* What wraps a handler: responses, values of requests, errors, clients that leave. *)
open Check
module H = Cohttp.Header
module R = Server.Response
module Router = Soil_http.Router

let field = Test_files.field
let body = Test_files.body

let occurrences part text =
  let n = String.length part in
  let is_at i = String.sub text i n = part in
  List.length (List.filter is_at (List.init (max 0 (String.length text - n + 1)) Fun.id))

let ask ?error app target = answers ?error app [ get target ]

(* Responses *)

let fields () =
  let app _ = Server.string ~headers:(H.of_list [ ("a", "1"); ("A", "2") ]) "x" in
  let change f = ask (fun request -> f (app request)) "/" in
  string "added" "1|2|3"
    (let text = plain (change (R.add_header "a" "3")) in
     let values = List.filter_map (fun l -> match String.split_on_char ':' l with
       | [ name; v ] when String.lowercase_ascii name = "a" -> Some (String.trim v) | _ -> None)
       (String.split_on_char '|' text) in
     String.concat "|" values) [@ocamlformat "disable"];
  string "set" "3" (field "a" (change (R.set_header "a" "3")));
  string "removed" "none" (field "a" (change (R.remove_header "a")));
  string "default, there" "2" (Option.get (R.header (R.set_default "a" "9" (Server.string ~headers:(H.init_with "a" "2") "")) "a"));
  string "default, missing" "9" (field "b" (change (R.set_default "b" "9")));
  string "status" "201" (status (change (R.with_status `Created)));
  bool "status is seen" true (R.status (Server.status `Not_found) = `Not_found)
[@@ocamlformat "disable"]

let shout write sink =
  write
    (Soil.Flow.sink (fun b off len ->
         D.write_string sink (String.uppercase_ascii (Bytes.sub_string b off len));
         len))

let bodies () =
  let mapped app =
    let app request = R.map_body ~string:String.uppercase_ascii ~stream:shout (app request) in
    let text = answers app [ get ~fields:"Connection: close\r\n" "/" ] in
    (field "content-length" text, body text)
  in
  let pair = Alcotest.(check (pair string string)) in
  pair "a string" ("3", "ABC") (mapped (fun _ -> Server.string "abc"));
  let buffer = Bigarray.Array1.init Char C_layout 3 (fun i -> Char.chr (97 + i)) in
  pair "a buffer" ("3", "ABC") (mapped (fun _ -> Server.buffer buffer));
  let write sink = D.write_string sink "abc" in
  pair "a stream" ("none", "3|ABC|0||")
    (let length, text = mapped (fun _ -> Server.stream ~length:3 write) in
     (length, plain text));
  let file = mapped (fun request -> Soil_http.Files.file request "/site/page.txt") in
  bool "a file" true
    (fst file = "none"
    && String.length (snd file) > 3
    && String.uppercase_ascii (snd file) = snd file);
  pair "nothing" ("none", "") (mapped (fun _ -> Server.status `No_content));
  bool "lengths" true
    (R.length (Server.string "abc") = Some 3 && R.length (Server.stream write) = None)

(* Values of requests *)

let name = Server.Request.key ()
let number : int Server.Request.key = Server.Request.key ()

let values () =
  let app request =
    let was = Server.Request.find request name in
    Server.Request.set request name "a";
    Server.Request.set request number 7;
    Server.Request.set request name "b";
    let now = Server.Request.find request name in
    Server.string
      (Printf.sprintf "%s %s %d"
         (Option.value was ~default:"none")
         (Option.get now)
         (Option.get (Server.Request.find request number)))
  in
  let text = answers app [ get "/"; get ~fields:"Connection: close\r\n" "/" ] in
  int "of one request alone" 2 (occurrences "none b 7" text)

let routes () =
  let entries = ref [] in
  let log (e : Server.entry) = entries := (e.route, e.id, e.status) :: !entries in
  let seen = ref [] in
  let app =
    Router.router
      [
        Router.scope "/api/:version"
          [ Router.get "/users/:id" (fun _ _ -> Server.string "x"); Router.get "" (fun _ _ -> Server.string "y") ];
        Router.any "/files/*path" (fun _ request ->
            Server.Request.set_id request "mine";
            Server.string (Server.Request.id request));
      ]
  in
  let around request =
    let response = app request in
    seen := Server.Request.route request :: !seen;
    response
  in
  let ask target = ignore (answers ~log around [ get target ]) in
  List.iter ask [ "/api/2/users/7?x"; "/api/2"; "/files/a/b"; "/none" ];
  let optional = Alcotest.(check (list (option string))) in
  let wanted = [ Some "/api/:version/users/:id"; Some "/api/:version"; Some "/files/*path"; None ] in
  optional "of requests" wanted (List.rev !seen);
  optional "of the log" wanted (List.rev_map (fun (route, _, _) -> route) !entries);
  let ids = List.rev_map (fun (_, id, _) -> Option.get id) !entries in
  string "an id that was set" "mine" (List.nth ids 2);
  bool "others" true (List.for_all (fun id -> id = "mine" || String.length id = 32) ids)
[@@ocamlformat "disable"]

let ids () =
  let id _ = body (ask (fun r -> Server.string (Server.Request.id r ^ Server.Request.id r)) "/") in
  let a = id () and b = id () in
  int "length" 64 (String.length a);
  string "the same twice" (String.sub a 0 32) (String.sub a 32 32);
  bool "of one request" true (a <> b)

(* Errors *)

let shown (e : Server.Error.t) =
  let path = Option.fold ~none:"-" ~some:Server.path e.request in
  let status = Cohttp.Code.code_of_status e.status in
  let cause = Option.fold ~none:"" ~some:Printexc.to_string e.cause in
  let detail = Option.value e.detail ~default:"" in
  Server.string ~status:e.status ~headers:e.headers
    (Printf.sprintf "%d %s [%s] [%s]" status path detail cause)

exception Mine

let app =
  Router.router
    [
      Router.get "/fails" (fun _ _ -> raise Mine);
      Router.get "/refused" (fun _ _ -> raise (Server.Refused `Forbidden));
      Router.get "/own" (fun _ request -> Server.error request ~detail:"no \"x\"" `Conflict);
      Router.post "/post" (fun _ request -> Server.string (Server.body_string request));
      Router.any "/site/*path" (fun _ -> Soil_http.Files.handler "/site");
      Router.get "/socket" (fun _ request -> Soil_http.Websocket.accept request ignore);
    ]

let errors () =
  let say target = try body (ask ~error:shown app target) with Mine -> "raised" in
  List.iter
    (fun (target, wanted) -> string target wanted (say target))
    [
      ("/none", "404 /none [] []");
      ("/%zz", "400 /%zz [] []");
      ("/post", "405 /post [] []");
      ("/refused", "403 /refused [] []");
      ("/own", "409 /own [no \"x\"] []");
      ("/site/../x", "400 /site/../x [] []");
      ("/socket", "426 /socket [] []");
      ("/fails", "raised");
    ];
  string "fields stay" "POST, OPTIONS" (field "allow" (ask ~error:shown app "/post"));
  string "no request" "400 - [] []" (body (answers ~error:shown app [ "nonsense\r\n\r\n" ]));
  let limit = Soil_http.Limit.create ~rate:1e-3 ~burst:1 () in
  let limited = Soil_http.Limit.handler ~key:(fun _ -> Some "k") limit app in
  ignore (ask limited "/none");
  string "a limit" "429 /none [] []" (body (ask ~error:shown limited "/none"));
  let large = "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n" in
  string "a large body" "413 /post [] []" (body (answers ~error:shown app [ large ]))

let exceptions () =
  let client, server = Soil.Flow.pair () in
  let serve () =
    match Server.connection ~error:shown server app with
    | () -> Alcotest.fail "not raised"
    | exception Mine -> D.close server
  in
  let receive () =
    D.write_string client (get "/fails");
    D.shutdown client `Send;
    D.read_all client
  in
  let (), text = Soil.Task.both serve receive in
  string "the cause" "500 /fails [] [Dune__exe__Test_middleware.Mine]" (body text)

let forms () =
  let json = ask ~error:Server.Error.problem app "/own" in
  string "type" "application/problem+json" (field "content-type" json);
  string "problem" "{\"title\":\"Conflict\",\"status\":409,\"detail\":\"no \\\"x\\\"\"}" (body json);
  string "text" "409 Conflict: no \"x\"\n" (body (ask app "/own"));
  let failing _ = failwith "no" in
  string "a function that fails" "404 Not Found\n" (body (ask ~error:failing app "/none"));
  let scoped request =
    if String.starts_with ~prefix:"/api" (Server.path request) then
      Server.Request.set_error request Server.Error.problem;
    app request
  in
  string "in a scope" "application/problem+json" (field "content-type" (ask scoped "/api/x"));
  string "outside" "text/plain; charset=utf-8" (field "content-type" (ask scoped "/x"))

let max_body () =
  let small handler request =
    Server.Request.set_max_body request 3;
    handler request
  in
  let post n =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " ^ string_of_int n ^ "\r\n\r\n"
    ^ String.make n 'x'
  in
  let ask ?max n =
    status (answers (small (fun r -> Server.string (Server.body_string ?max r))) [ post n ])
  in
  string "within" "200" (ask 3);
  string "beyond" "413" (ask 4);
  string "the handler's own" "200" (ask ~max:10 4)

(* Clients that leave *)

(* What becomes of a handler that waits, of a client that sends [text] and leaves by [leave]. *)
let left ?on_disconnect ?(text = get "/") ~leave handler =
  let client, server = Soil.Flow.pair () in
  let entries = ref [] in
  let log (e : Server.entry) = entries := Cohttp.Code.code_of_status e.status :: !entries in
  let serve () =
    Fun.protect
      ~finally:(fun () -> D.close server)
      (fun () -> Server.connection ?on_disconnect ~log server handler)
  in
  let send () =
    D.write_string client text;
    Soil.Clock.sleep 0.01;
    leave client
  in
  ignore (Soil.Task.both serve send);
  !entries

let cancelled ended _ =
  match Soil.Clock.sleep 600. with
  | () -> Server.string "late"
  | exception (Soil.Task.Cancelled as e) ->
      ended := true;
      raise e

let ints = Alcotest.(check (list int))

let leaves () =
  let ended = ref false in
  ints "closed" [ 499 ] (left ~leave:D.close (cancelled ended));
  bool "cancelled" true !ended;
  let ended = ref false in
  ints "its side ended" [ 499 ] (left ~leave:(fun d -> D.shutdown d `Send) (cancelled ended));
  bool "cancelled, too" true !ended;
  let ended = ref false in
  let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" in
  let reads request =
    ignore (Server.body_string request);
    cancelled ended request
  in
  ints "after a body" [ 499 ] (left ~text ~leave:D.close reads);
  bool "cancelled after it" true !ended

let streams_of_leavers () =
  let ending = ref None in
  let handler _ =
    Server.stream
      ~on_end:(fun e -> ending := Some e)
      (fun sink ->
        D.write_string sink "x";
        Soil.Clock.sleep 600.)
  in
  ints "begun" [ 200 ] (left ~leave:D.close handler);
  bool "cut" true (!ending = Some Server.Cut)

let finishes () =
  let done_ = ref 0 in
  let slow _ =
    Soil.Clock.sleep 1.2;
    incr done_;
    Server.string "x"
  in
  ignore (left ~on_disconnect:`Finish ~leave:D.close slow);
  int "finished" 1 !done_;
  let protected request = Soil.Task.protect (fun () -> slow request) in
  ignore (left ~leave:D.close protected);
  int "protected" 2 !done_

(* The next request isn't a sign of leaving, nor is one that waits for its body. *)
let stays () =
  let slow request =
    Soil.Clock.sleep 1.2;
    Server.string (Server.body_string request)
  in
  let text =
    answers ~on_disconnect:`Cancel ~shut:false slow [ get "/"; get ~fields:"Connection: close\r\n" "/" ]
  in
  int "both" 2 (occurrences "HTTP/1.1 200" text);
  let client, server = Soil.Flow.pair () in
  let serve () = Server.connection server slow in
  let send () =
    D.write_string client "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
    Soil.Clock.sleep 1.5;
    D.write_string client "abc";
    let text = D.read_all client in
    D.close client;
    text
  in
  let (), text = Soil.Task.both serve send in
  string "late body" "abc" (body text)
[@@ocamlformat "disable"]

(* Middlewares of the library *)

module M = Soil_http.Middleware

let around ?error ?(app = app) m ?fields ?(meth = "GET") target =
  let request = get ?fields target in
  let request = meth ^ String.sub request 3 (String.length request - 3) in
  try answers ?error (m app) [ request ] with Mine -> ""

let order () =
  let mark name handler request =
    Server.Response.add_header "m" name
      (handler
         (ignore name;
          request))
  in
  let short _ _ = Server.string "short" in
  let text = around (M.all [ mark "a"; mark "b" ]) "/own" in
  int "inner first" 1 (occurrences "m: b\r\nm: a" text);
  string "a short cut" "short" (body (around (M.all [ mark "a"; short; mark "b" ]) "/own"));
  let only = M.only (fun r -> Server.path r = "/own") (mark "a") in
  string "only" "a" (field "m" (around only "/own"));
  string "others" "none" (field "m" (around only "/none"))

let ids_of_requests () =
  let id ?accept ?(given = "") () =
    let fields = if given = "" then "" else "X-Request-Id: " ^ given ^ "\r\n" in
    field "x-request-id" (around (M.request_id ?accept ()) ~fields "/own")
  in
  int "made" 32 (String.length (id ()));
  int "not a stranger's" 32 (String.length (id ~given:"abc" ()));
  let accept _ = true in
  string "a proxy's" "a.B-1_" (id ~accept ~given:"a.B-1_" ());
  int "not any text" 32 (String.length (id ~accept ~given:"a b" ()));
  int "not too long" 32 (String.length (id ~accept ~given:(String.make 129 'a') ()))

let observed () =
  let seen = ref [] in
  let note request response _ =
    let status = Cohttp.Code.code_of_status (Server.Response.status response) in
    seen := (Server.Request.route request, status) :: !seen
  in
  List.iter (fun t -> ignore (around (M.observe note) t)) [ "/own"; "/none"; "/refused"; "/fails" ];
  Alcotest.(check (list (pair (option string) int)))
    "routes and statuses"
    [ (Some "/own", 409); (None, 404); (Some "/refused", 403); (Some "/fails", 500) ]
    (List.rev !seen)

let added_to_errors () =
  let add handler request =
    Server.Request.map_response request (R.set_header "m" "outer");
    handler request
  and inner handler request =
    Server.Request.map_response request (R.set_header "m" "inner");
    handler request
  in
  let of_failure () =
    let client, server = Soil.Flow.pair () in
    let serve () =
      match Server.connection server (M.all [ add; inner ] app) with
      | () -> Alcotest.fail "not raised"
      | exception Mine -> D.close server
    in
    let receive () =
      D.write_string client (get "/fails");
      D.read_all client
    in
    snd (Soil.Task.both serve receive)
  in
  string "to a 500" "inner" (field "m" (of_failure ()));
  string "to a refusal" "inner" (field "m" (around (M.all [ add; inner ]) "/refused"));
  let failing handler request =
    Server.Request.map_response request (fun _ -> failwith "no");
    handler request
  in
  let text = try answers (failing app) [ get "/own" ] with Failure _ -> "raised" in
  string "one that fails" "raised" text

let timeouts () =
  let slow _ = Soil.Clock.sleep 600.; Server.string "late" in
  let text = answers (M.timeout 0.01 slow) [ get "/" ] in
  string "late" "503" (status text);
  string "in time" "409" (status (around (M.timeout 600.) "/own"));
  is_invalid "zero" (fun () -> ignore (M.timeout 0. app : M.handler))
[@@ocamlformat "disable"]

let shedding () =
  let gate = Soil.Task.Promise.create () in
  let running = ref 0 in
  let slow _ =
    incr running;
    Soil.Task.Promise.await gate;
    Server.string "x"
  in
  let handler = M.shed ~seconds:0.05 ~places:2 () slow in
  let ask _ = status (answers handler [ get "/" ]) in
  let release () =
    Soil.Clock.sleep 0.3;
    Soil.Task.Promise.fulfil gate ()
  in
  let statuses, () = Soil.Task.both (fun () -> Soil.Task.map ask [ 1; 2; 3; 4 ]) release in
  strings "two have places" [ "200"; "200"; "503"; "503" ] (List.sort compare statuses);
  int "two ran" 2 !running;
  strings "places come back" [ "200"; "200" ] (List.map ask [ 1; 2 ]);
  (* A turn of all tasks takes too long. *)
  let rec busy n = if n > 0 then (
    let until = Soil.Clock.monotonic () +. 0.1 in
    while Soil.Clock.monotonic () < until do () done;
    Soil.Task.yield (); busy (n - 1)) in
  let slow = M.shed ~seconds:0.02 () (fun _ -> Server.string "x") in
  let text, () = Soil.Task.both (fun () -> answers slow [ get "/" ]) (fun () -> busy 20) in
  string "busy" "503" (status text)
[@@ocamlformat "disable"]

let secured () =
  let text = around (M.security ~csp:"default-src 'self'" ~hsts:3600. ()) "/own" in
  List.iter
    (fun (name, wanted) -> string name wanted (field name text))
    [
      ("x-content-type-options", "nosniff");
      ("x-frame-options", "DENY");
      ("content-security-policy", "default-src 'self'");
      ("strict-transport-security", "max-age=3600");
      ("referrer-policy", "strict-origin-when-cross-origin");
      ("cross-origin-opener-policy", "same-origin");
    ];
  let own _ = Server.string ~headers:(H.init_with "x-frame-options" "SAMEORIGIN") "x" in
  string "the handler's own" "SAMEORIGIN" (field "x-frame-options" (around ~app:own (M.security ()) "/"))
[@@ocamlformat "disable"]

let cors () =
  let one = M.Only [ "https://a.example" ] in
  let from o = "Origin: " ^ o ^ "\r\n" in
  let allowed text = (status text, field "access-control-allow-origin" text, field "vary" text) in
  let triple = Alcotest.(check (triple string string string)) in
  let m = M.cors ~origins:one ~credentials:true ~expose:[ "etag" ] () in
  let text = around m ~fields:(from "https://a.example") "/own" in
  triple "allowed" ("409", "https://a.example", "origin") (allowed text);
  string "credentials" "true" (field "access-control-allow-credentials" text);
  string "exposed" "etag" (field "access-control-expose-headers" text);
  triple "another" ("409", "none", "origin") (allowed (around m ~fields:(from "https://b.example") "/own"));
  triple "none" ("409", "none", "origin") (allowed (around m "/own"));
  let pre = from "https://a.example" ^ "Access-Control-Request-Method: PUT\r\n" in
  let text = around m ~fields:pre ~meth:"OPTIONS" "/own" in
  triple "preflight" ("204", "https://a.example", "origin") (allowed text);
  string "methods" "GET, HEAD, POST, PUT, PATCH, DELETE" (field "access-control-allow-methods" text);
  string "age" "600" (field "access-control-max-age" text);
  let other = from "https://b.example" ^ "Access-Control-Request-Method: PUT\r\n" in
  let text = around m ~fields:other ~meth:"OPTIONS" "/own" in
  string "another's preflight" "none" (field "access-control-allow-methods" text);
  triple "any" ("409", "*", "none") (allowed (around (M.cors ~origins:Any ()) ~fields:(from "x") "/own"));
  let where = M.cors ~origins:(Where (String.ends_with ~suffix:".example")) () in
  triple "where" ("409", "https://c.example", "origin") (allowed (around where ~fields:(from "https://c.example") "/own"));
  string "plain OPTIONS" "405" (status (around m ~meth:"OPTIONS" ~app:(fun r -> Server.error r `Method_not_allowed) "/"));
  is_invalid "any with credentials" (fun () -> ignore (M.cors ~credentials:true ~origins:Any () app : M.handler))
[@@ocamlformat "disable"]

let conditional () =
  let app request =
    match Server.path request with
    | "/tagged" -> Server.string ~headers:(H.init_with "etag" "\"mine\"") "x"
    | "/stream" -> Server.stream (fun sink -> D.write_string sink "x")
    | "/missing" -> Server.status `Not_found
    | _ -> Server.string ~headers:(H.of_list [ ("content-type", "text/plain"); ("cache-control", "private") ]) "hello"
  in
  let ask ?fields ?meth target = around ~app M.conditional ?fields ?meth target in
  let tag = field "etag" (ask "/") in
  bool "a tag" true (String.length tag = 34);
  string "the same" tag (field "etag" (ask "/"));
  let text = ask ~fields:("If-None-Match: " ^ tag ^ "\r\n") "/" in
  string "not modified" "304" (status text);
  string "its tag" tag (field "etag" text);
  string "its fields" "private" (field "cache-control" text);
  string "no body" "" (body text);
  string "another" "200" (status (ask ~fields:"If-None-Match: \"x\"\r\n" "/"));
  string "if match" "412" (status (ask ~fields:"If-Match: \"x\"\r\n" "/"));
  string "to HEAD" "304" (status (ask ~meth:"HEAD" ~fields:("If-None-Match: " ^ tag ^ "\r\n") "/"));
  string "to POST" "200" (status (ask ~meth:"POST" ~fields:("Content-Length: 0\r\nIf-None-Match: " ^ tag ^ "\r\n") "/"));
  string "its own tag" "304" (status (ask ~fields:"If-None-Match: \"mine\"\r\n" "/tagged"));
  string "no tag of a stream" "none" (field "etag" (ask "/stream"));
  string "nor of an error" "none" (field "etag" (ask "/missing"))
[@@ocamlformat "disable"]

let caching () =
  let ask app = field "cache-control" (around ~app (M.cache "no-store") "/") in
  string "set" "no-store" (ask (fun _ -> Server.string "x"));
  string "its own" "public" (ask (fun _ -> Server.string ~headers:(H.init_with "cache-control" "public") "x"));
  string "not in errors" "none" (ask (fun r -> Server.error r `Not_found))
[@@ocamlformat "disable"]

let versions () =
  let handler = Soil_http.Files.handler ~versions:true "/site" in
  Soil.File.set_times ~modified:(Soil.File.of_float 1e9) "/site/page.txt";
  let target = Soil_http.Files.versioned ~root:"/site" "/page.txt" in
  let caching target = field "cache-control" (answers handler [ get target ]) in
  bool "a version" true (String.starts_with ~prefix:"/page.txt?v=" target);
  string "current" "public, max-age=31536000, immutable" (caching target);
  string "another" "no-cache" (caching "/page.txt?v=1");
  string "none" "no-cache" (caching "/page.txt");
  Soil.File.set_times ~modified:(Soil.File.of_float (Soil.Clock.now ())) "/site/page.txt";
  string "of a file that changes" "/page.txt" (Soil_http.Files.versioned ~root:"/site" "/page.txt");
  string "no longer current" "no-cache" (caching target)
[@@ocamlformat "disable"]

(* The handler runs while [send] talks to the connection; all that the client gets. *)
let conversation handler send =
  let client, server = Soil.Flow.pair () in
  let serve () =
    Fun.protect ~finally:(fun () -> D.close server) (fun () -> Server.connection server handler)
  in
  let talk () =
    send client;
    let text = D.read_all client in
    D.close client;
    text
  in
  snd (Soil.Task.both serve talk)

(* What has come of the next request, or is missing of this one's body, is no sign of leaving. *)
let busy_clients () =
  let slow request =
    Soil.Clock.sleep 2.;
    Server.string (Server.body_string request)
  in
  let pipelines client =
    D.write_string client (get "/");
    Soil.Clock.sleep 0.7;
    D.write_string client (get ~fields:"Connection: close\r\n" "/")
  in
  int "the next request" 2 (occurrences "HTTP/1.1 200" (conversation slow pipelines));
  let breaks_off client =
    D.write_string client "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na";
    D.shutdown client `Send
  in
  string "a body that breaks off" "400" (status (conversation slow breaks_off))

let tests =
  [
    in_run "fields" fields;
    in_run "bodies" bodies;
    in_run "values of a request" values;
    in_run "routes" routes;
    in_run "identifiers" ids;
    in_run "errors" errors;
    in_run "exceptions" exceptions;
    in_run "forms of errors" forms;
    in_run "limits of bodies" max_body;
    in_run "clients that leave" leaves;
    in_run "streams of clients that leave" streams_of_leavers;
    in_run "handlers that finish" finishes;
    in_run "clients that stay" stays;
    in_run "clients that are busy" busy_clients;
    in_run "order" order;
    in_run "identifiers from outside" ids_of_requests;
    in_run "observation" observed;
    in_run "fields of errors" added_to_errors;
    in_run "timeouts" timeouts;
    in_run "load shedding" shedding;
    in_run "fields for browsers" secured;
    in_run "other origins" cors;
    in_run "conditional requests" conditional;
    in_run "caching" caching;
    in_run "versions of files" versions;
  ]
