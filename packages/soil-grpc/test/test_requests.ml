(* Requests as they are on the wire, of HTTP/1.1. *)
open Check
open App
module S = Grpc.Server

let message ?(flag = 0) s =
  let b = Buffer.create 16 in
  Buffer.add_uint8 b flag;
  Buffer.add_int32_be b (Int32.of_int (String.length s));
  Buffer.add_string b s;
  Buffer.contents b

let request ?(meth = "POST") ?(path = "/test.Strings/Echo") ?(kind = "application/grpc")
    ?(fields = "") body =
  Printf.sprintf
    "%s %s HTTP/1.1\r\n\
     Host: a\r\n\
     TE: trailers\r\n\
     Connection: close\r\n\
     Content-Type: %s\r\n\
     %sContent-Length: %d\r\n\
     \r\n\
     %s"
    meth path kind fields (String.length body) body

let rpcs =
  [
    S.unary echo (fun _ s -> s);
    S.client_stream join (fun _ r -> String.concat "+" (all r));
    S.server_stream split (fun _ s send ->
        List.iter send (String.split_on_char ' ' s);
        if s = "fail" then Status.fail Not_found "no é");
  ]

let app = S.handler ~encodings:[ runs ] ~web:true rpcs
let ask ?(app = app) text = answers app [ text ]

(* The value of a field of the head or the trailers. *)
let field name answer =
  let prefix = name ^ ": " in
  let lines = List.map String.trim (String.split_on_char '\n' answer) in
  match List.find_opt (String.starts_with ~prefix) lines with
  | None -> "none"
  | Some l -> String.sub l (String.length prefix) (String.length l - String.length prefix)

let code answer = field "grpc-status" answer
let escaped text = String.escaped (plain text)

let responses () =
  string "unary"
    "HTTP/1.1 200 OK|content-type: application/grpc|grpc-encoding: runs|grpc-accept-encoding: \
     runs|transfer-encoding: chunked|connection: \
     close||7|\\000\\000\\000\\000\\002hi|0|grpc-status: 0||"
    (escaped (ask (request ~fields:"Grpc-Accept-Encoding: identity, runs\r\n" (message "hi"))));
  string "only a status"
    "HTTP/1.1 200 OK|content-type: application/grpc|grpc-accept-encoding: runs|grpc-status: \
     12|grpc-message: unknown service|content-length: 0|connection: close||"
    (escaped (ask (request ~path:"/a.B/C" (message ""))));
  string "after a message" "5" (code (ask (request ~path:"/test.Strings/Split" (message "fail"))));
  string "its message" "no %C3%A9"
    (field "grpc-message" (ask (request ~path:"/test.Strings/Split" (message "fail"))))

let kinds () =
  let status ?meth ?app kind = Check.status (ask ?app (request ?meth ~kind (message "a"))) in
  List.iter
    (fun kind -> string kind "200" (status kind))
    [ "application/grpc"; "application/grpc+proto"; "Application/GRPC; charset=x" ];
  List.iter
    (fun kind -> string kind "415" (status kind))
    [ "application/grpc+json"; "application/grpcx"; "text/plain"; "application/json"; "" ];
  List.iter
    (fun kind ->
      string kind "200" (status kind);
      string (kind ^ " not asked for") "415" (status ~app:(S.handler rpcs) kind))
    [ "application/grpc-web"; "application/grpc-web+proto" ];
  string "a GET" "405" (status ~meth:"GET" "application/grpc");
  let others request = Server.string ("other " ^ Server.path request) in
  let app = S.handler ~others rpcs in
  let answer = ask ~app (request ~kind:"text/plain" "") in
  bool "another handler" true (String.ends_with ~suffix:"other /test.Strings/Echo" answer)

let malformed () =
  let is ?path ?fields what expected body =
    string what expected (code (ask (request ?path ?fields body)))
  in
  is "no message" "13" "";
  is "half a prefix" "13" "\000\000\000";
  is "half a message" "13" "\000\000\000\000\003ab";
  is "two messages" "13" (message "a" ^ message "b");
  is "unknown flags" "13" (message ~flag:2 "a");
  is "the flag of the web's trailers" "13" (message ~flag:0x80 "a");
  is "compressed without an encoding" "13" (message ~flag:1 "a");
  is "4 GiB announced" "8" "\000\255\255\255\255abc";
  is "in a stream" "8" (message "a" ^ "\000\127\255\255\255") ~path:"/test.Strings/Join";
  let runs = "Grpc-Encoding: runs\r\n" in
  is "compressed" "0" (message ~flag:1 "\002a") ~fields:runs;
  is "not compressed in spite of it" "0" (message "aa") ~fields:runs;
  is "malformed compression" "13" (message ~flag:1 "\002") ~fields:runs;
  is "a bomb" "8"
    (message ~flag:1 (String.concat "" (List.init 20_000 (fun _ -> "\255a"))))
    ~fields:runs;
  is "another encoding" "12" (message "a") ~fields:"Grpc-Encoding: br\r\n";
  is "identity" "0" (message "a") ~fields:"Grpc-Encoding: identity\r\n";
  string "what it could be" "runs"
    (field "grpc-accept-encoding" (ask (request ~fields:"Grpc-Encoding: br\r\n" (message ""))));
  is "metadata" "13" (message "a") ~fields:"X-Bin: ?\r\n";
  is "padded metadata" "0" (message "a") ~fields:"X-Bin: YQ==\r\nY-Bin: YQ, YWI=\r\n";
  is "much metadata" "8" (message "a") ~fields:("X: " ^ String.make 8160 'x' ^ "\r\n");
  is "as much as may be" "0" (message "a") ~fields:("X: " ^ String.make 8100 'x' ^ "\r\n")

(* A client that leaves while messages are sent: no exception of the handler's. *)
let vanished () =
  let ended = ref None in
  let observe _ status _ = ended := Some status.Status.code in
  let on_exception _ _ _ = Alcotest.fail "reported" in
  let endless _ _ send =
    while true do
      send (String.make 10_000 'x')
    done
  in
  let app = S.handler ~observe ~on_exception [ S.server_stream split endless ] in
  let client, server = Soil.Flow.pair () in
  let serve () = Server.connection ~on_disconnect:`Finish server app in
  let leave () =
    D.write_string client (request ~path:"/test.Strings/Split" (message ""));
    ignore (D.read client (Bytes.create 100) 0 100);
    D.close client
  in
  ignore (Soil.Task.both serve leave);
  bool "cancelled" true (!ended = Some Cancelled)

(* Memory is taken for the bytes that have come, not for the announced size. *)
let memory () =
  Soil.Virtual_clock.run @@ fun () ->
  with_budget 300_000 @@ fun () ->
  let count _ r = string_of_int (Grpc.Reader.fold (fun n _ -> n + 1) 0 r) in
  let app = S.handler [ S.client_stream join count ] in
  let code body = code (ask ~app (request ~path:"/test.Strings/Join" body)) in
  string "4 MiB announced" "13" (code "\000\000\064\000\000abc");
  string "1 MB came" "8" (code (message (String.make 1_000_000 'x')));
  string "a few kilobytes" "0" (code (message (String.make 10_000 'x')));
  let many = String.concat "" (List.init 200 (fun _ -> message (String.make 10_000 'x'))) in
  string "each is given back" "0" (code many);
  let answer = ask (request ~path:"/test.Strings/Join" many) in
  string "a response of 2 MB" "8" (field "grpc-status" answer);
  int "in the end all" 0 (Soil.Budget.statistics ()).held

(* A response counts wholly as long as the client doesn't take it, in each shape of calls. *)
let untaken () =
  let n = 500_000 in
  let text = String.make n 'x' in
  let rpcs =
    [
      S.unary echo (fun _ _ -> text);
      S.client_stream join (fun _ r ->
          ignore (all r);
          text);
      S.server_stream split (fun _ _ send -> send text);
      S.two_way chat (fun _ r send -> Grpc.Reader.iter (fun _ -> send text) r);
    ]
  in
  let app = S.handler ~web:true rpcs in
  let held () = (Soil.Budget.statistics ()).held in
  let before = held () in
  let rec until condition =
    if not (condition ()) then (
      Soil.Task.yield ();
      until condition)
  in
  let check kind path =
    let client, server = Soil.Flow.pair () in
    let body = message "a" in
    let body = if String.ends_with ~suffix:"text" kind then Base64.encode_exn body else body in
    let serve () =
      D.with_close server (fun d -> try Server.connection d app with Soil.Error _ -> ())
    in
    let ask () =
      D.write_string client (request ~kind ~path:("/test.Strings/" ^ path) body);
      until (fun () -> held () - before >= n);
      D.close client
    in
    ignore (Soil.Task.both serve ask);
    int (path ^ ": given back") before (held ())
  in
  List.iter
    (fun kind -> List.iter (check kind) [ "Echo"; "Join"; "Split"; "Chat" ])
    [ "application/grpc"; "application/grpc-web"; "application/grpc-web-text" ]

(* What a call takes beside its request counts while it waits, and its messages are garbage once
   their frames are made. *)
let calls () =
  let held () = (Soil.Budget.statistics ()).held in
  let counted = ref [] and weak = Weak.create 1 in
  let note () = counted := held () :: !counted in
  let answer _ _ =
    note ();
    "a"
  in
  let send_one _ _ send =
    note ();
    let text = String.make 100_000 'x' in
    Weak.set weak 0 (Some text);
    send text
  in
  let app = S.handler ~web:true [ S.unary echo answer; S.server_stream split send_one ] in
  let counts kind path =
    counted := [];
    let client, server = Soil.Flow.pair () in
    let body = message "a" in
    let body = if String.ends_with ~suffix:"text" kind then Base64.encode_exn body else body in
    let serve () =
      D.with_close server (fun d -> try Server.connection d app with Soil.Error _ -> ())
    in
    let ask () =
      D.write_string client (request ~kind ~path:("/test.Strings/" ^ path) body);
      while !counted = [] do
        Soil.Task.yield ()
      done;
      (* The frame waits for the client. *)
      for _ = 1 to 10 do
        Soil.Task.yield ()
      done;
      Gc.full_major ();
      bool "the message is garbage" true (Weak.get weak 0 = None);
      D.close client
    in
    ignore (Soil.Task.both serve ask);
    List.hd !counted
  in
  let plain = counts "application/grpc" "Echo" in
  bool "a call" true (plain > 2048);
  bool "a task" true (counts "application/grpc" "Split" - plain > 900);
  bool "base64" true (counts "application/grpc-web-text" "Echo" - plain > 12_000)

(* Those of a handler: what its own calls have counted is given back when they are over. *)
let calls_of_a_handler () =
  let peer = Soil.Budget.create () in
  Fun.protect ~finally:(fun () -> Soil.Budget.release peer) @@ fun () ->
  with_rpcs ~encodings:[ runs ] ~server_encodings:[ runs ] rpcs @@ fun client ->
  (* The connection is nobody's. *)
  string "before" "" (Client.unary client echo "");
  Soil.Budget.run peer @@ fun () ->
  let text = String.make 100_000 'x' in
  string "unary" text (Client.unary ~compress:true client echo text);
  int "unary: given back" 0 (Soil.Budget.bytes peer);
  string "a stream" text
    (Client.server_stream client split text (fun r -> String.concat " " (all r)));
  int "a stream: given back" 0 (Soil.Budget.bytes peer);
  string "of requests" text (Client.client_stream client join (fun send -> send text));
  int "of requests: given back" 0 (Soil.Budget.bytes peer)

let timeouts () =
  let left = ref None in
  let rpcs =
    [
      S.unary echo (fun c s ->
          left := S.time_left c;
          s);
    ]
  in
  Soil.Virtual_clock.run @@ fun () ->
  let is ?(app = S.handler rpcs) text expected status =
    left := None;
    let answer = ask ~app (request ~fields:("Grpc-Timeout: " ^ text ^ "\r\n") (message "a")) in
    string text status (code answer);
    let near a b = Float.abs (a -. b) <= 1e-6 *. b in
    bool (text ^ ": left") true
      (match (!left, expected) with
      | Some a, Some b -> near a b
      | None, None -> true
      | _ -> false)
  in
  List.iter
    (fun (text, seconds) -> is text (Some seconds) "0")
    [
      ("1H", 3600.); ("2M", 120.); ("3S", 3.); ("400m", 0.4); ("50000u", 0.05);
      ("99999999n", 0.099999999); ("99999999H", 359999996400.);
    ];
  List.iter
    (fun text -> is text None "13")
    [ ""; "1"; "S"; "1s"; "-1S"; "+1S"; "1.5S"; "123456789S"; "1 S"; "0x1S"; "1_0S" ];
  is "0S" None "4";
  let app = S.handler ~max_seconds:5. rpcs in
  is ~app "9S" (Some 5.) "0";
  is ~app "4S" (Some 4.) "0"
[@@ocamlformat "disable"]

(* gRPC-Web: the status is the last frame of the body. *)
let content answer =
  let rec find i = if String.sub answer i 4 = "\r\n\r\n" then i + 4 else find (i + 1) in
  let i = find 0 in
  let text = String.sub answer i (String.length answer - i) in
  if field "transfer-encoding" answer <> "chunked" then text
  else
    let b = Buffer.create 100 in
    let rec chunks i =
      let stop = String.index_from text i '\r' in
      let n = int_of_string ("0x" ^ String.sub text i (stop - i)) in
      Buffer.add_string b (String.sub text (stop + 2) n);
      if n > 0 then chunks (stop + 4 + n)
    in
    chunks 0;
    Buffer.contents b

let trailer = message ~flag:0x80
let ok_trailer = trailer "grpc-status: 0\r\n"

let web () =
  let web ?path text = content (ask (request ?path ~kind:"application/grpc-web" text)) in
  string "unary" (message "hi" ^ ok_trailer) (web (message "hi"));
  string "a stream"
    (message "a" ^ message "b" ^ ok_trailer)
    (web ~path:"/test.Strings/Split" (message "a b"));
  string "a failure"
    (trailer "grpc-status: 12\r\ngrpc-message: unknown method\r\n")
    (web ~path:"/test.Strings/X" (message "a"));
  string "after a message"
    (message "fail" ^ trailer "grpc-status: 5\r\ngrpc-message: no %C3%A9\r\n")
    (web ~path:"/test.Strings/Split" (message "fail"));
  string "the type" "application/grpc-web+proto"
    (field "content-type" (ask (request ~kind:"application/grpc-web" (message ""))))

(* The parts of a body in base64. *)
let rec parts text =
  if text = "" then ""
  else
    let n = String.length text in
    let stop = match String.index_opt text '=' with Some i -> ((i / 4) + 1) * 4 | None -> n in
    Base64.decode_exn (String.sub text 0 stop) ^ parts (String.sub text stop (n - stop))

let web_text () =
  let raw ?path text = content (ask (request ?path ~kind:"application/grpc-web-text" text)) in
  let web ?path text = parts (raw ?path text) in
  let base64 s = Base64.encode_exn s in
  string "unary" (message "hi" ^ ok_trailer) (web (base64 (message "hi")));
  string "in parts" (message "hello" ^ ok_trailer)
    (web
       (let m = message "hello" in
        base64 (String.sub m 0 4) ^ base64 (String.sub m 4 4) ^ base64 (String.sub m 8 2)));
  let long = String.init 50_000 (fun i -> Char.chr (i * 7 land 255)) in
  bool "a long one" true (web (base64 (message long)) = message long ^ ok_trailer);
  string "a stream"
    (message "a" ^ message "b" ^ ok_trailer)
    (web ~path:"/test.Strings/Split" (base64 (message "a b")));
  let fails what text =
    let answer = web text in
    bool what true (String.starts_with ~prefix:(String.sub (trailer (String.make 45 ' ')) 0 1) answer);
    bool what true (Option.is_some (String.index_opt answer '1'))
  in
  fails "not base64" "!!!!";
  fails "half a group" "AAA";
  fails "padding in a group" "A=AA"
[@@ocamlformat "disable"]

(* A body in any pieces gives the same messages. *)
let pieces =
  let open QCheck2.Gen in
  pair
    (list_size (int_bound 6) (string_size (int_bound 30)))
    (list_size (int_bound 30) (int_range 1 40))

let any_pieces (messages, sizes) =
  let body = String.concat "" (List.map message messages) in
  let chunked =
    let rec cut i = function
      | n :: rest when i < String.length body ->
          let n = min n (String.length body - i) in
          Printf.sprintf "%x\r\n%s\r\n" n (String.sub body i n) :: cut (i + n) rest
      | _ :: _ -> []
      | [] when i < String.length body ->
          [ Printf.sprintf "%x\r\n%s\r\n" (String.length body - i) (String.sub body i (String.length body - i)) ]
      | [] -> []
    in
    cut 0 sizes @ [ "0\r\n\r\n" ]
  in
  let head =
    "POST /test.Strings/Join HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\
     Content-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
  in
  let answer = answers app (head :: chunked) in
  code answer = "0"
  && String.starts_with ~prefix:(message (String.concat "+" messages)) (content answer)
[@@ocamlformat "disable"]

(* Any bytes end with a status. *)
let any_body s =
  let answer = ask (request ~path:"/test.Strings/Join" s) in
  List.mem (code answer) [ "0"; "8"; "13" ]

let tests =
  [
    in_run "responses" responses;
    in_run "types" kinds;
    in_run "malformed requests" malformed;
    in_run "a client that leaves" vanished;
    in_run "memory" memory;
    in_run "calls" calls;
    in_run "responses that nobody takes" untaken;
    in_run "calls of a handler" calls_of_a_handler;
    in_run "grpc-timeout" timeouts;
    in_run "gRPC-Web" web;
    in_run "gRPC-Web in base64" web_text;
    property_in_run ~count:100 "any pieces" pieces any_pieces;
    property_in_run ~count:100 "any bytes" QCheck2.Gen.(string_size (int_bound 40)) any_body;
  ]
