(* Calls that fail. *)
open Check
open App
module S = Grpc.Server
module Reader = Grpc.Reader

let codes = List.init 16 (fun i -> Status.of_number (i + 1))

let messages =
  [ ""; "plain"; "100% \"sure\""; "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"; "%41"; "\127\000" ]
[@@ocamlformat "disable"]

let statuses () =
  let expected = ref Status.ok in
  let fail () = raise (Status.Failed !expected) in
  let rpcs =
    [
      S.unary echo (fun _ _ -> fail ());
      S.client_stream join (fun _ _ -> fail ());
      S.server_stream split (fun _ s send ->
          if s <> "" then send s;
          fail ());
      S.two_way chat (fun _ r send ->
          Option.iter send (Reader.next r);
          fail ());
    ]
  in
  with_rpcs rpcs @@ fun c ->
  let check code message details =
    expected := Status.v ~details code message;
    let is what f = bool what true (status f = !expected) in
    is "unary" (fun () -> Client.unary c echo "a");
    is "requests" (fun () -> Client.client_stream c join (fun send -> send "a"));
    is "no response" (fun () -> Client.server_stream c split "" all);
    is "after a response" (fun () -> Client.server_stream c split "a" all);
    let got = ref 0 in
    is "two ways" (fun () ->
        Client.two_way c chat (fun sender r ->
            Client.send sender "a";
            (* More than the server reads. *)
            Client.send sender "b";
            Reader.iter (fun _ -> incr got) r));
    int "the responses before" 1 !got
  in
  List.iter (fun code -> check code "a message" []) codes;
  List.iter (fun message -> check Not_found message []) messages;
  check Aborted "" [ ("type.googleapis.com/a.B", "\000\001\255"); ("c", "") ]

exception Secret of string

let exceptions () =
  let seen = ref [] in
  let on_exception c e _ = seen := (S.path c, e) :: !seen in
  let rpcs =
    [
      S.unary echo (fun _ s -> raise (Secret s));
      S.server_stream split (fun _ s send ->
          send "a";
          raise (Secret s));
      S.unary (Grpc.Method.unary ~service "Odd" bytes { bytes with encode = (fun s -> raise (Secret s)) }) (fun _ s -> s);
    ]
  in
  with_rpcs ~on_exception rpcs @@ fun c ->
  let is_unknown what f = bool what true (status f = Status.v Unknown "") in
  is_unknown "unary" (fun () -> Client.unary c echo "x");
  is_unknown "a stream" (fun () -> Client.server_stream c split "x" all);
  is_unknown "of a codec" (fun () -> Client.unary c (Grpc.Method.unary ~service "Odd" bytes bytes) "x");
  bool "reported" true
    (List.rev !seen
    = [ ("/test.Strings/Echo", Secret "x"); ("/test.Strings/Split", Secret "x"); ("/test.Strings/Odd", Secret "x") ]);
  is_unknown "the connection is used again" (fun () -> Client.unary c echo "x")
[@@ocamlformat "disable"]

let reported () =
  let seen = ref "" in
  Server.on_exception (fun what e _ -> if e = Secret "x" then seen := what ());
  Fun.protect ~finally:(fun () -> Server.on_exception Soil.Private.report) @@ fun () ->
  with_rpcs [ S.unary echo (fun _ s -> raise (Secret s)) ] @@ fun c ->
  fails "unary" Unknown (fun () -> Client.unary c echo "x");
  bool "as by HTTP" true (String.ends_with ~suffix:"POST /test.Strings/Echo: exception " !seen)

(* Generated code may raise for input that it can't read: the client's fault, and not reported. *)
let undecodable () =
  let on_exception _ _ _ = Alcotest.fail "reported" in
  let decode = function "a" -> raise (Secret "a") | s -> Error ("not " ^ s) in
  let odd = Grpc.Method.unary ~service "Echo" { bytes with decode } bytes in
  with_rpcs ~on_exception [ S.unary odd (fun _ s -> s) ] @@ fun c ->
  let is expected s = fails s Internal ~message:expected (fun () -> Client.unary c echo s) in
  is "a message is malformed" "a";
  is "a message is malformed: not b" "b"

(* OK isn't a failure: a handler that fails with it has made a mistake. *)
let ok_as_failure () =
  with_rpcs [ S.unary echo (fun _ _ -> Status.fail OK "") ] @@ fun c ->
  fails "not OK" Unknown (fun () -> Client.unary c echo "")

let names () =
  List.iteri
    (fun i code ->
      int "number" (i + 1) (Status.number code);
      bool "name" true (String.uppercase_ascii (Status.name code) = Status.name code))
    codes;
  bool "unknown numbers" true (List.for_all (fun n -> Status.of_number n = Unknown) [ -1; 17; 99 ]);
  string "with a message" "NOT_FOUND: no" (Status.to_string (Status.v Not_found "no"));
  string "without" "OK" (Status.to_string Status.ok)

let unknown_methods () =
  with_rpcs [ S.unary echo (fun _ s -> s) ] @@ fun c ->
  fails "a method" Unimplemented ~message:"unknown method" (fun () ->
      Client.client_stream c join ignore);
  let other = Grpc.Method.unary ~service:"test.Strings2" "Echo" bytes bytes in
  fails "a service" Unimplemented ~message:"unknown service" (fun () -> Client.unary c other "")

let sizes () =
  let rpcs =
    [
      S.unary echo (fun _ s -> s);
      S.client_stream join (fun _ r -> String.concat "" (all r));
      S.server_stream split (fun _ s send -> send (String.make (int_of_string s) 'x'));
    ]
  in
  with_rpcs ~max_message:2000 ~server_max:1000 ~encodings:[ runs ] ~server_encodings:[ runs ] rpcs
  @@ fun c ->
  let too_large what max f =
    fails what Resource_exhausted ~message:(Printf.sprintf "a message of more than %d bytes" max) f
  in
  let text n = String.make n 'x' in
  string "at the server's limit" (text 1000) (Client.unary c echo (text 1000));
  too_large "above" 1000 (fun () -> Client.unary c echo (text 1001));
  too_large "much more" 1000 (fun () -> Client.unary c echo (text 3_000_000));
  too_large "compressed" 1000 (fun () -> Client.unary c ~compress:true echo (text 1001));
  too_large "the second" 1000 (fun () ->
      Client.client_stream c join (fun send ->
          send "a";
          send (text 1001)));
  int "at the client's limit" 2000
    (String.length (List.hd (Client.server_stream c split "2000" all)));
  too_large "a response" 2000 (fun () -> Client.server_stream c split "2001" all)

(* Responses that aren't gRPC's. *)
let other_responses () =
  let response = ref (fun _ -> Server.string "") in
  with_handler (fun request -> !response request) @@ fun c ->
  let is what code answer =
    response := answer;
    fails what code (fun () -> Client.unary c echo "")
  in
  List.iter
    (fun (http, code) -> is "a status of HTTP" code (fun _ -> Server.status http))
    [
      (`Bad_request, Status.Internal); (`Unauthorized, Unauthenticated);
      (`Forbidden, Permission_denied); (`Not_found, Unimplemented);
      (`Too_many_requests, Unavailable); (`Bad_gateway, Unavailable);
      (`Service_unavailable, Unavailable); (`Gateway_timeout, Unavailable);
      (`Internal_server_error, Unknown); (`See_other, Unknown);
    ];
  let headers l = Cohttp.Header.of_list (("content-type", "application/grpc") :: l) in
  let body ?(fields = []) ?(trailers = []) text _ =
    Server.stream ~headers:(headers fields)
      ~trailers:(fun () -> Cohttp.Header.of_list trailers)
      (fun sink -> D.write_string sink text)
  in
  let ok = [ ("grpc-status", "0") ] in
  is "another type" Unknown (fun _ -> Server.string "hello");
  is "no status" Unknown (body "\000\000\000\000\000");
  is "not a number" Unknown (body "" ~trailers:[ ("grpc-status", "x") ]);
  is "no message" Internal (body "" ~trailers:ok);
  is "no message, in the head" Internal (body "" ~fields:ok);
  is "two" Internal (body "\000\000\000\000\000\000\000\000\000\000" ~trailers:ok);
  is "half a prefix" Internal (body "\000\000\000" ~trailers:ok);
  is "half a message" Internal (body "\000\000\000\000\003ab" ~trailers:ok);
  is "unknown flags" Internal (body "\002\000\000\000\000" ~trailers:ok);
  is "an encoding that wasn't offered" Internal
    (body "\001\000\000\000\000" ~fields:[ ("grpc-encoding", "gzip") ] ~trailers:ok);
  is "a status beside another of HTTP" Aborted (fun _ ->
      Server.string ~status:`Bad_request ~headers:(headers [ ("grpc-status", "10") ]) "");
  is "base64" Internal (body "\000\000\000\000\000" ~trailers:(("x-bin", "!") :: ok));
  response := body "\000\000\000\000\001a" ~trailers:[ ("grpc-status", " 0 ") ];
  string "a right one" "a" (Client.unary c echo "")
[@@ocamlformat "disable"]

(* It isn't repeated, which would be no better. *)
let large_metadata () =
  let attempts = ref 0 in
  let large c =
    incr attempts;
    S.add_trailer c "x" (String.make 100_000 'x')
  in
  let rpcs =
    [
      S.unary echo (fun c s ->
          if s <> "" then large c;
          if s = "fail" then Status.fail Not_found "no";
          s);
      S.server_stream split (fun c s send ->
          send s;
          large c);
      S.client_stream join (fun c _ ->
          S.add_header c "x" (String.make 100_000 'x');
          "");
    ]
  in
  with_rpcs ~retry:Client.default_retry rpcs @@ fun c ->
  let is_exhausted what f = fails what Resource_exhausted ~message:"the response's metadata is too large" f in
  is_exhausted "trailers" (fun () -> Client.unary c echo "ok");
  is_exhausted "of a failure" (fun () -> Client.unary c echo "fail");
  is_exhausted "after a stream" (fun () -> Client.server_stream c split "a" all);
  is_exhausted "a head" (fun () -> Client.client_stream c join ignore);
  int "attempts" 3 !attempts;
  string "the next call" "" (Client.unary c echo "")
[@@ocamlformat "disable"]

(* What a message takes is counted as long as the handler has it, and no longer. *)
let counted () =
  let held () = (Soil.Budget.statistics ()).held in
  let n = 100_000 in
  let before = held () in
  let handler _ r =
    ignore (Reader.next r);
    let first = held () - before in
    ignore (Reader.next r);
    let second = held () - before in
    bool "a compressed message" true (first >= n);
    bool "the next one, alone" true (second < n);
    "ok"
  in
  with_rpcs ~encodings:[ runs ] ~server_encodings:[ runs ] [ S.client_stream join handler ]
  @@ fun c ->
  let send send =
    send (String.make n 'x');
    send "y"
  in
  string "an answer" "ok" (Client.client_stream c ~compress:true join send)

let no_server () =
  let connect ~host:_ ~port:_ : Soil.Flow.t = Soil.Error.fail Connection_refused "tcp connect" in
  let http = Http_client.create ~connect () in
  let c = Client.create http (Uri.of_string "http://a") in
  fails "unary" Unavailable (fun () -> Client.unary c echo "");
  fails "a stream" Unavailable (fun () -> Client.client_stream c join (fun send -> List.iter send [ "a"; "b"; "c" ]));
  fails "two ways" Unavailable (fun () -> Client.two_way c chat (fun _ r -> all r))
[@@ocamlformat "disable"]

(* The function of a call may fail itself: that is its own exception. *)
let callers () =
  let rpcs =
    [ S.two_way chat (fun _ r send -> Reader.iter send r); S.server_stream split (fun _ s send -> send s) ]
  in
  with_rpcs rpcs @@ fun c ->
  let raises what f =
    match f () with
    | () -> Alcotest.fail what
    | exception Secret "mine" -> ()
  in
  raises "two ways" (fun () -> Client.two_way c chat (fun _ _ -> raise (Secret "mine")));
  raises "requests" (fun () -> ignore (Client.client_stream c join (fun _ -> raise (Secret "mine"))));
  raises "responses" (fun () -> Client.server_stream c split "" (fun _ -> raise (Secret "mine")));
  int "without reading" 3 (Client.two_way c chat (fun _ _ -> 3));
  strings "still usable" [ "a" ] (Client.server_stream c split "a" all)
[@@ocamlformat "disable"]

let tests =
  [
    in_run "statuses" statuses;
    in_run "exceptions" exceptions;
    in_run "exceptions are reported" reported;
    in_run "undecodable messages" undecodable;
    in_run "OK as a failure" ok_as_failure;
    test "names and numbers" names;
    in_run "unknown methods" unknown_methods;
    in_run "sizes of messages" sizes;
    in_run "responses that aren't gRPC's" other_responses;
    in_run "large metadata" large_metadata;
    in_run "what messages take" counted;
    in_run "no server" no_server;
    in_run "the caller's own failures" callers;
  ]
