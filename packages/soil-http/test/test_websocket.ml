(* WebSocket: both sides over pipes, and frames by hand. *)
open Check
module W = Soil_http.Websocket
module Client = Soil_http.Client
module H = Cohttp.Header

let handshake =
  "GET /chat HTTP/1.1\r\n\
   Host: a\r\n\
   Upgrade: WebSocket\r\n\
   Connection: keep-alive, Upgrade\r\n\
   Sec-WebSocket-Version: 13\r\n\
   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

let echo ?protocols ?origins ?max_bytes ?ping_seconds request =
  W.accept ?protocols ?origins ?max_bytes ?ping_seconds request (fun ws -> W.iter (W.send ws) ws)

let accepted () =
  string "the example of RFC 6455"
    "HTTP/1.1 101 Switching Protocols|sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=|upgrade: \
     websocket|connection: upgrade||"
    (plain (answers echo [ handshake ^ "\r\n" ]));
  let has protocols fields wanted =
    let text = plain (answers (echo ~protocols) [ handshake ^ fields ^ "\r\n" ]) in
    let lines = String.split_on_char '|' text in
    let found = List.find_opt (String.starts_with ~prefix:"sec-websocket-protocol: ") lines in
    string fields wanted (Option.value found ~default:"none")
  in
  has [ "b"; "a" ] "Sec-WebSocket-Protocol: a, b\r\n" "sec-websocket-protocol: b";
  has [ "c" ] "Sec-WebSocket-Protocol: a, b\r\n" "none";
  has [ "c" ] "" "none"

let replace pattern by text =
  let n = String.length pattern in
  let rec find i = if String.sub text i n = pattern then i else find (i + 1) in
  let i = find 0 in
  String.sub text 0 i ^ by ^ String.sub text (i + n) (String.length text - i - n)

let refused () =
  List.iter
    (fun (what, wanted, text) -> string what wanted (status (answers echo [ text ])))
    [
      ("no WebSocket", "426", get "/");
      ("POST", "426", replace "GET" "POST" handshake ^ "\r\n");
      ("HTTP/1.0", "426", replace "HTTP/1.1" "HTTP/1.0" handshake ^ "\r\n");
      ("no connection field", "426", replace "Upgrade\r\nSec" "x\r\nSec" handshake ^ "\r\n");
      ("another version", "426", replace ": 13" ": 12" handshake ^ "\r\n");
      ("no key", "400", replace "Sec-WebSocket-Key" "X" handshake ^ "\r\n");
      ("a short key", "400", replace "dGhlIHNhbXBsZSBub25jZQ==" "dGhl" handshake ^ "\r\n");
      ("two keys", "400", handshake ^ "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
      ("another site", "403", handshake ^ "Origin: https://b\r\n\r\n");
      ("no site", "403", handshake ^ "Origin: null\r\n\r\n");
      ("this site", "101", handshake ^ "Origin: https://A\r\n\r\n");
    ];
  let these = echo ~origins:(`These [ "https://b" ]) in
  string "an allowed site" "101" (status (answers these [ handshake ^ "Origin: https://b\r\n\r\n" ]));
  string "any site" "101" (status (answers (echo ~origins:`Any) [ handshake ^ "Origin: null\r\n\r\n" ]))
[@@ocamlformat "disable"]

(* Frames by hand: [first] byte, payload, masked with zeros so that it can be read. *)
let frame ?(masked = true) first payload =
  let b = Buffer.create 16 and n = String.length payload in
  let bit = if masked then 0x80 else 0 in
  Buffer.add_uint8 b first;
  if n < 126 then Buffer.add_uint8 b (bit lor n)
  else (
    Buffer.add_uint8 b (bit lor 126);
    Buffer.add_uint16_be b n);
  if masked then Buffer.add_string b "\000\000\000\000";
  Buffer.contents b ^ payload

let close_frame code reason =
  frame 0x88 (String.init 2 (fun i -> Char.chr ((code lsr (8 * (1 - i))) land 255)) ^ reason)

let after_head text =
  let rec find i = if String.sub text i 4 = "\r\n\r\n" then i + 4 else find (i + 1) in
  let i = find 0 in
  String.sub text i (String.length text - i)

(* What comes back to [frames], up to the end. *)
let exchange ?max_bytes frames =
  after_head (answers (echo ?max_bytes) ((handshake ^ "\r\n") :: frames))

let plain_close code =
  "\x88\x02" ^ String.init 2 (fun i -> Char.chr ((code lsr (8 * (1 - i))) land 255))

let frames () =
  let bye = close_frame 1000 "" in
  List.iter
    (fun (what, sent, wanted) -> string what wanted (exchange sent))
    [
      ("a text", [ frame 0x81 "hello"; bye ], "\x81\x05hello" ^ plain_close 1000);
      ("a mask", [ "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; bye ], "\x81\x05Hello" ^ plain_close 1000);
      ("fragments, a ping between them", [ frame 0x01 "he"; frame 0x89 "p"; frame 0x00 "l"; frame 0x80 "lo"; bye ],
       "\x8a\x01p\x81\x05hello" ^ plain_close 1000);
      ("a character in two fragments", [ frame 0x01 "\xc3"; frame 0x80 "\xa4"; bye ], "\x81\x02\xc3\xa4" ^ plain_close 1000);
      ("a pong", [ frame 0x8a "x"; bye ], plain_close 1000);
      ("closing without a code", [ frame 0x88 ""; frame 0x81 "late" ], "\x88\x00");
      ("closing with a code of its own", [ close_frame 4000 "why" ], plain_close 4000);
      ("in one piece with the handshake", [ frame 0x82 "" ^ bye ], "\x82\x00" ^ plain_close 1000);
    ]
[@@ocamlformat "disable"]

let violations () =
  let reason text =
    if String.length text >= 4 && text.[0] = '\x88' then string_of_int (String.get_uint16_be text 2) else "none"
  in
  List.iter
    (fun (what, sent, wanted) -> string what wanted (reason (exchange ~max_bytes:1000 sent)))
    [
      ("no mask", [ frame ~masked:false 0x81 "hello" ], "1002");
      ("a reserved bit", [ frame 0xc1 "hello" ], "1002");
      ("another reserved bit", [ frame 0x91 "hello" ], "1002");
      ("an unknown opcode", [ frame 0x83 "hello" ], "1002");
      ("an unknown control opcode", [ frame 0x8b "" ], "1002");
      ("a ping in fragments", [ frame 0x09 "p" ], "1002");
      ("a long ping", [ frame 0x89 (String.make 126 'p') ], "1002");
      ("a continuation of nothing", [ frame 0x80 "x" ], "1002");
      ("a message in a message", [ frame 0x01 "x"; frame 0x81 "y" ], "1002");
      ("a length of 16 bits for a short one", [ "\x81\xfe\000\005\000\000\000\000hello" ], "1002");
      ("a length of 64 bits for a short one", [ "\x81\xff\000\000\000\000\000\000\001\000\000\000\000\000" ], "1002");
      ("a negative length", [ "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\000\000\000\000" ], "1002");
      ("text that isn't UTF-8", [ frame 0x81 "\xff" ], "1007");
      ("a cut character", [ frame 0x81 "\xc3" ], "1007");
      ("a surrogate", [ frame 0x81 "\xed\xa0\x80" ], "1007");
      ("a message that is too long", [ frame 0x82 (String.make 1001 'x') ], "1009");
      ("a length beyond all bounds", [ "\x82\xff\x3f\xff\xff\xff\xff\xff\xff\xff\000\000\000\000" ], "1009");
      ("fragments that are too long", [ frame 0x02 (String.make 600 'x'); frame 0x80 (String.make 600 'x') ], "1009");
      ("short fragments beyond the limit", [ frame 0x02 (String.make 1000 'x'); frame 0x80 "y" ], "1009");
      ("empty fragments without end", frame 0x02 "" :: List.init 100 (fun _ -> frame 0x00 ""), "1009");
      ("a close frame of a byte", [ frame 0x88 "x" ], "1002");
      ("a code that is never sent", [ close_frame 1005 "" ], "1002");
      ("a code that isn't given out", [ close_frame 2999 "" ], "1002");
      ("a reason that isn't UTF-8", [ close_frame 1000 "\xff" ], "1007");
      ("the end without a word", [ "" ], "none");
      ("the end within a frame", [ "\x81\x85\000" ], "none");
    ]
[@@ocamlformat "disable"]

(* The length of a frame is believed when it has come. *)
let announced () =
  let length = "\x82\xff\x00\x00\x10\x00\x00\x00\x00\x00\000\000\000\000" in
  string "nothing is taken for it" "" (exchange ~max_bytes:max_int [ length; "hello" ]);
  let large = String.init 60_000 (fun i -> Char.chr (i land 255)) in
  let bytes = frame 0x82 large ^ close_frame 1000 "" in
  let pieces =
    List.init
      (1 + (String.length bytes / 1000))
      (fun i -> String.sub bytes (i * 1000) (min 1000 (String.length bytes - (i * 1000))))
  in
  string "what comes in pieces is whole"
    (frame ~masked:false 0x82 large ^ plain_close 1000)
    (exchange pieces)

(* A frame that was cut is the last one, also for those that wait to send, and the task that
   receives ends. *)
let cut () =
  let client, server = Soil.Flow.pair () in
  let is_cut = Soil.Task.Promise.create () and ended = ref "not" in
  let serve ws =
    let large = W.Binary (String.make 1_000_000 'x') in
    let send_in_time () = Soil.Task.timeout_opt 0.01 (fun () -> W.send ws large) = None in
    let send_late () = fails_with_closed (fun () -> W.send ws (Text "late")) in
    let receive () =
      match W.receive ws with
      | _ -> ended := "by a message"
      | exception W.Failed (code, _) -> ended := string_of_int code
    in
    let is_late, ((), ()) = Soil.Task.(both send_in_time (fun () -> both send_late receive)) in
    bool "cut" true is_late;
    fails_with_closed (fun () -> W.send ws (Text "later"));
    Soil.Task.Promise.fulfil is_cut ()
  in
  D.write_string client (handshake ^ "\r\n");
  let connection () =
    D.with_close server (fun server -> Server.connection server (fun r -> W.accept r serve))
  in
  let read () =
    Soil.Task.Promise.await is_cut;
    after_head (D.read_all client)
  in
  let (), text = Soil.Task.both connection read in
  string "the task that receives" "1006" !ended;
  let payload = String.sub text 10 (String.length text - 10) in
  string "the frame's head" "\x82\x7f\000\000\000\000\000\x0f\x42\x40" (String.sub text 0 10);
  bool "and nothing but a part of it" true
    (String.length payload < 1_000_000 && String.for_all (( = ) 'x') payload)

let silent () =
  let answer = echo ~ping_seconds:0.02 in
  let text = after_head (answers ~shut:false answer [ handshake ^ "\r\n" ]) in
  string "a ping, and the end" "\x89\x00" text

(* Behind its close frame a server sends nothing, whatever the client does. *)
let nothing_after_the_close () =
  let closing request = W.accept ~ping_seconds:0.02 request (W.close ~code:3000) in
  let says frames = after_head (answers ~shut:false closing ((handshake ^ "\r\n") :: frames)) in
  List.iter
    (fun (what, frames) -> string what (plain_close 3000) (says frames))
    [
      ("it is silent", []);
      ("it asks", [ frame 0x89 "p"; close_frame 1000 "" ]);
      ("it sends", [ frame 0x81 "hi"; frame 0x01 "h" ]);
      ("it goes on with a message", [ frame 0x01 "h"; frame 0x89 "p"; frame 0x80 "i" ]);
      ("it is wrong", [ frame 0x83 "" ]);
      ("it sends too much", [ frame 0x82 (String.make 65_535 'x'); close_frame 1000 "" ]);
      ("it answers", [ close_frame 3000 "" ]);
      ("it says nothing", [ frame 0x88 "" ]);
    ]

(* Both sides *)

let with_socket ?max_bytes ?protocols serve f =
  Soil.Task.scope @@ fun scope ->
  let connect ~host:_ ~port:_ =
    let client, server = Soil.Flow.pair () in
    let run () =
      Fun.protect ~finally:(fun () -> D.close server) (fun () -> Server.connection server serve)
    in
    ignore (Soil.Task.spawn_daemon scope run);
    (client :> D.flow)
  in
  let client = Client.create ~connect () in
  W.Client.connect ?max_bytes ?protocols client (Uri.of_string "ws://a/chat") f

let received = Alcotest.of_pp (fun f -> function
  | Some (W.Text s) -> Format.fprintf f "text %S" s
  | Some (W.Binary s) -> Format.fprintf f "binary %S" s
  | None -> Format.fprintf f "the end")
[@@ocamlformat "disable"]

let both_sides () =
  with_socket (echo ~protocols:[ "chat" ]) ~protocols:[ "other"; "chat" ] @@ fun ws ->
  Alcotest.(check (option string)) "protocol" (Some "chat") (W.protocol ws);
  let comes_back m =
    W.send ws m;
    Alcotest.check received "the same" (Some m) (W.receive ws)
  in
  List.iter
    (fun n ->
      comes_back (W.Text (String.make n 't'));
      comes_back (W.Binary (String.init n (fun i -> Char.chr (i land 255)))))
    [ 0; 1; 7; 8; 125; 126; 127; 65535; 65536; 300_000 ];
  W.ping ws;
  comes_back (W.Text "after a ping");
  W.close ws ~code:3000 ~reason:"enough";
  Alcotest.(check (option (pair int string))) "the answer" (Some (3000, "")) (W.closed_by_peer ws);
  Alcotest.check received "nothing more" None (W.receive ws);
  fails_with_closed (fun () -> W.send ws (W.Text "late"))
[@@ocamlformat "disable"]

let any_message =
  property_in_run "any messages come back as they were"
    QCheck2.Gen.(list_size (int_bound 8) (string_size (int_bound 1000)))
    (fun messages ->
      with_socket echo @@ fun ws ->
      List.for_all
        (fun s ->
          let m = if String.is_valid_utf_8 s then W.Text s else W.Binary s in
          W.send ws m;
          W.receive ws = Some m)
        messages)

exception Mistake

let ends () =
  let said = ref None in
  let serve request =
    W.accept request (fun ws ->
        W.iter ignore ws;
        said := W.closed_by_peer ws)
  in
  let code f =
    said := None;
    (try with_socket serve f with Mistake -> ());
    for _ = 1 to 20 do Soil.Task.yield () done;
    match !said with Some (code, _) -> code | None -> 0
  in
  int "the function returns" 1000 (code ignore);
  int "it raises" 1011 (code (fun _ -> raise Mistake));
  let leave request = W.accept request (fun ws -> W.close ws ~code:1001 ~reason:"away") in
  with_socket leave @@ fun ws ->
  Alcotest.check received "the server closes" None (W.receive ws);
  Alcotest.(check (option (pair int string))) "what it says" (Some (1001, "away")) (W.closed_by_peer ws)
[@@ocamlformat "disable"]

(* A server that is cancelled tells its clients, and waits for their answers. *)
let stopped () =
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  let ready = Soil.Task.Semaphore.create 0 and answered = ref [] in
  let serve request =
    W.accept request (fun ws ->
        W.send ws (Text "welcome");
        let answer _ =
          (* One is in the middle of its work when the server stops. *)
          Soil.Task.Semaphore.release ready;
          Soil.Clock.sleep 0.05;
          W.send ws (Text "done")
        in
        W.iter answer ws)
  in
  let client n =
    let connect ~host:_ ~port:_ = (Soil.Tcp.connect (Soil.Tcp.local listener) :> D.flow) in
    let client = Client.create ~connect () in
    W.Client.connect client (Uri.of_string "ws://a/") @@ fun ws ->
    Alcotest.check received "the first" (Some (W.Text "welcome")) (W.receive ws);
    if n = 0 then (
      W.send ws (Text "work");
      Alcotest.check received "its answer" (Some (W.Text "done")) (W.receive ws))
    else Soil.Task.Semaphore.release ready;
    Alcotest.check received "the end" None (W.receive ws);
    answered := W.closed_by_peer ws :: !answered
  in
  Soil.Task.scope @@ fun scope ->
  let server = Soil.Task.spawn scope (fun () -> Server.serve ~grace:patience listener serve) in
  let clients = List.init 3 (fun n -> Soil.Task.spawn scope (fun () -> client n)) in
  List.iter (fun _ -> Soil.Task.Semaphore.acquire ready) clients;
  Soil.Task.cancel server;
  List.iter Soil.Task.await clients;
  Alcotest.(check (list (option (pair int string)))) "codes" (List.init 3 (fun _ -> Some (1001, ""))) !answered
[@@ocamlformat "disable"]

let not_agreed () =
  let fails wanted serve =
    match with_socket serve ignore with
    | () -> Alcotest.fail "no failure"
    | exception Client.Failed (_, problem) ->
        string "problem" (Client.problem_to_string wanted) (Client.problem_to_string problem)
  in
  fails (Not_upgraded `Not_found) (fun _ -> Server.status `Not_found);
  fails Malformed (fun _ -> Server.upgrade "other" ignore);
  fails Malformed (fun _ -> Server.upgrade "websocket" ignore);
  let wrong fields _ = Server.upgrade ~headers:(H.of_list fields) "websocket" ignore in
  fails Malformed (wrong [ ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") ])

let mistakes () =
  with_socket echo @@ fun ws ->
  is_invalid "text that isn't UTF-8" (fun () -> W.send ws (W.Text "\xff"));
  is_invalid "a code" (fun () -> W.close ws ~code:1005);
  is_invalid "a long reason" (fun () -> W.close ws ~reason:(String.make 124 'x'))

let tests =
  [
    in_run "a handshake is answered by its key" accepted;
    in_run "what isn't a handshake is refused" refused;
    in_run "frames are understood as RFC 6455 has them" frames;
    in_run "violations end the connection with their code" violations;
    in_run "nothing is sent behind the close" nothing_after_the_close;
    in_run "a length takes no memory before it has come" announced;
    in_run "nothing is sent behind a frame that was cut" cut;
    in_run "a silent peer is asked once" silent;
    in_run "both sides talk, and close" both_sides;
    any_message;
    in_run "the end says how the function ended" ends;
    in_run "a server that stops says so" stopped;
    in_run "a server that doesn't agree is refused" not_agreed;
    in_run "what can't be sent is a mistake" mistakes;
  ]
