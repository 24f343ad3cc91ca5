(* Frames by hand to a server of HTTP/2, in virtual time: slow clients, resets and want of memory.
   Floods are in tests/cases/http2.py. *)
open Check
module Http2 = Soil_http.Http2

let frame ?(flags = 0) ?(stream = 0) kind payload =
  let b = Buffer.create 32 in
  Buffer.add_int32_be b (Int32.of_int ((String.length payload lsl 8) lor kind));
  Buffer.add_uint8 b flags;
  Buffer.add_int32_be b (Int32.of_int stream);
  Buffer.add_string b payload;
  Buffer.contents b

let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
let settings = frame 4 ""
let rst_stream stream = frame 3 ~stream "\000\000\000\b"

let u32 n =
  let b = Bytes.create 4 in
  Bytes.set_int32_be b 0 (Int32.of_int n);
  Bytes.to_string b

let request ?(meth = "GET") ?(fields = []) path =
  let out = Buffer.create 100 in
  Hpack.encode (Hpack.encoder ()) out
    ([ (":method", meth); (":scheme", "http"); (":authority", "a"); (":path", path) ] @ fields);
  Buffer.contents out

(* END_STREAM and END_HEADERS *)
let get stream path = frame 1 ~flags:5 ~stream (request path)
let post stream path = frame 1 ~flags:4 ~stream (request ~meth:"POST" path)

(* The frames of what a server sends: kind, stream, and the error of the last. *)
let names = [| "DATA"; "HEADERS"; "PRIORITY"; "RST_STREAM"; "SETTINGS"; "PUSH"; "PING"; "GOAWAY"; "WINDOW_UPDATE" |]
[@@ocamlformat "disable"]

let shown text =
  let rec go at =
    if at >= String.length text then []
    else
      let length = Int32.to_int (String.get_int32_be text at) lsr 8 in
      let kind = String.get_uint8 text (at + 3) in
      let stream = Int32.to_int (String.get_int32_be text (at + 5)) in
      let code i = string_of_int (Int32.to_int (String.get_int32_be text (at + 9 + i))) in
      let this =
        match names.(kind) with
        | "SETTINGS" | "WINDOW_UPDATE" -> []
        | "RST_STREAM" -> [ Printf.sprintf "RST_STREAM %d %s" stream (code 0) ]
        | "GOAWAY" -> [ "GOAWAY " ^ code 4 ]
        | name -> [ Printf.sprintf "%s %d" name stream ]
      in
      this @ go (at + 9 + length)
  in
  String.concat ", " (go 0)

(* What a server answers to [pieces], between which the client waits, and the seconds until the end
   of the connection. The client reads what comes, or nothing at all. *)
let talk ?limits ?(reads = true) ?capacity handler pieces =
  let client, server = Soil.Flow.pair ?capacity () in
  let serve () =
    D.with_close server (fun server ->
        Server.connection ?limits ~http2:(Http2.server ()) server handler)
  in
  let send () =
    try
      List.iter
        (fun (seconds, piece) ->
          Soil.Clock.sleep seconds;
          D.write_string client piece)
        pieces
    with Soil.Error { code = Broken_pipe | Closed | Connection_reset; _ } -> ()
  in
  let began = Soil.Clock.monotonic () in
  let ends = ref 0. in
  let note () = ends := Soil.Clock.monotonic () -. began in
  let serve () =
    serve ();
    if not reads then note ()
  in
  let receive () =
    let text = if reads then D.read_all client else "" in
    if reads then note ();
    text
  in
  let (), ((), text) = Soil.Task.both serve (fun () -> Soil.Task.both send receive) in
  D.close client;
  (shown text, int_of_float (Float.round !ends))

let limits =
  { Server.default_limits with idle_seconds = 60.; head_seconds = 20.; write_seconds = 30. }

let ends what ?reads ?capacity handler pieces wanted =
  let frames, seconds = talk ~limits ?reads ?capacity handler pieces in
  string what wanted (Printf.sprintf "%s after %d s" frames seconds)

let ok _ = Server.string "ok"

let slow_clients () =
  ends "nothing" ok [] " after 60 s";
  ends "a part of the preface" ok [ (0., "PRI * HTTP") ] "GOAWAY 0 after 20 s";
  ends "the preface by and by" ok
    (List.map (fun c -> (5., String.make 1 c)) (List.of_seq (String.to_seq preface)))
    "GOAWAY 0 after 40 s";
  ends "no settings" ok [ (0., preface) ] "GOAWAY 0 after 20 s";
  let start = (0., preface ^ settings) in
  ends "no request" ok [ start ] "GOAWAY 0 after 60 s";
  ends "pings in place of requests" ok
    (start :: List.init 100 (fun _ -> (10., frame 6 "12345678")))
    "PING 0, PING 0, PING 0, PING 0, PING 0, GOAWAY 0 after 60 s";
  ends "a request, then nothing" ok
    [ start; (10., get 1 "/") ]
    "HEADERS 1, DATA 1, GOAWAY 0 after 70 s";
  (* A head: END_STREAM without END_HEADERS. *)
  let head = request "/" ~fields:[ ("name", "value") ] in
  let first = frame 1 ~flags:1 ~stream:1 (String.sub head 0 3) in
  ends "a part of a head" ok [ start; (0., first) ] "GOAWAY 0 after 20 s";
  ends "a head by and by" ok
    (start :: (0., first)
    :: List.init 4 (fun i -> (7., frame 9 ~stream:1 (String.sub head (3 + i) 1))))
    "GOAWAY 0 after 20 s"

let slow_bodies () =
  let start = (0., preface ^ settings) in
  let limits = { limits with body_seconds = 10.; body_rate = 100 } in
  let handler request = Server.string (Server.body_string request) in
  let frames, seconds = talk ~limits handler [ start; (0., post 1 "/") ] in
  string "no body" "HEADERS 1, DATA 1, RST_STREAM 1 0, GOAWAY 0 after 70 s"
    (Printf.sprintf "%s after %d s" frames seconds);
  let drops = List.init 40 (fun _ -> (1., frame 0 ~stream:1 "x")) in
  let frames, _ = talk ~limits handler (start :: (0., post 1 "/") :: drops) in
  string "a byte a second" "HEADERS 1, DATA 1, RST_STREAM 1 0, GOAWAY 0" frames

(* Windows that never open, and a client that reads nothing. *)
let slow_readers () =
  let closed = frame 4 ("\000\004" ^ u32 0) in
  let start = (0., preface ^ closed) in
  let large _ = Server.stream (fun sink -> D.write_string sink (String.make 1_000_000 'x')) in
  ends "a closed window" large
    [ start; (0., get 1 "/" ^ get 3 "/") ]
    "HEADERS 1, HEADERS 3, RST_STREAM 1 2, RST_STREAM 3 2, GOAWAY 0 after 90 s";
  let wide = frame 4 ("\000\004" ^ u32 10_000_000) ^ frame 8 (u32 10_000_000) in
  let _, seconds =
    talk ~limits ~reads:false ~capacity:65536 large [ (0., preface ^ wide ^ get 1 "/" ^ get 3 "/") ]
  in
  int "no reader" 30 seconds;
  int "streams" 0 (Soil.Budget.statistics ()).peers

(* A handler of a stream that is reset at once doesn't begin; of one that is reset later, it ends. *)
let resets () =
  let begun = ref 0 and ended = ref 0 in
  let handler _ =
    incr begun;
    Fun.protect
      ~finally:(fun () -> incr ended)
      (fun () ->
        Soil.Clock.sleep infinity;
        Server.string "")
  in
  let start = (0., preface ^ settings) in
  let many = String.concat "" (List.init 50 (fun i -> get ((2 * i) + 1) "/" ^ rst_stream ((2 * i) + 1))) in
  ends "at once" handler [ start; (0., many) ] "GOAWAY 0 after 60 s";
  int "begun" 0 !begun;
  ends "later" handler
    [ start; (0., get 1 "/" ^ get 3 "/"); (1., rst_stream 1 ^ rst_stream 3) ]
    "GOAWAY 0 after 61 s";
  int "begun" 2 !begun;
  int "ended" 2 !ended;
  (* Frames after a reset of the client's are a mistake; after one of the server's they cross. *)
  ends "DATA after a reset" handler
    [ start; (0., post 1 "/"); (1., rst_stream 1); (1., frame 0 ~stream:1 "x") ]
    "GOAWAY 5 after 2 s";
  ends "DATA that crosses" handler
    [ start; (0., post 1 "/" ^ frame 8 ~stream:1 (u32 0)); (1., frame 0 ~stream:1 "x") ]
    "RST_STREAM 1 1, GOAWAY 0 after 60 s"
[@@ocamlformat "disable"]

(* A client that is the slowest when memory is needed learns so by frames, not by HTTP/1.1. *)
let evicted () =
  with_budget ((Soil.Budget.statistics ()).held + 40_000) @@ fun () ->
  let start = (0., preface ^ settings) in
  let head = frame 1 ~flags:1 ~stream:1 (String.sub (request "/") 0 3) in
  let need () =
    Soil.Clock.sleep 0.1;
    let other = Soil.Budget.create () in
    Soil.Budget.grow ~patience:60. other 35_000;
    Soil.Budget.release other
  in
  let frames, () =
    Soil.Task.both (fun () -> talk ~limits ok [ start; (0., head) ]) need
  in
  string "evicted" "GOAWAY 11" (fst frames)
[@@ocamlformat "disable"]

(* A block in HEADERS and CONTINUATION, of 16 KiB each. *)
let in_parts ?(flags = 1) ~stream block =
  let rec go at kind flags =
    let n = min 16384 (String.length block - at) in
    let is_end = at + n = String.length block in
    let flags = if is_end then flags lor 4 else flags in
    let this = frame kind ~flags ~stream (String.sub block at n) in
    if is_end then this else this ^ go (at + n) 9 0
  in
  go 0 1 flags

(* A field of [n] bytes, which isn't for the table. *)
let large_field n =
  let b = Buffer.create (n + 16) in
  Buffer.add_string b "\x00\x05large\x7f";
  let rest = n - 127 in
  List.iter (Buffer.add_uint8 b)
    [ 128 lor (rest land 127); 128 lor ((rest lsr 7) land 127); rest lsr 14 ];
  Buffer.contents b ^ String.make n 'l'

(* One that enters the table, and the newest entry. *)
let entering = "\x40\x01x\x05entry"
let newest = "\xbe"

(* A head or trailers that are too large end their own stream alone, and the next head finds what
   they have left in the table. *)
let large_heads () =
  let seen = ref [] in
  let handler request =
    if Server.path request = "/slow" then Soil.Clock.sleep 2.;
    ignore (Server.body_string request);
    seen := (Server.path request, Option.value (Server.header request "x") ~default:"") :: !seen;
    Server.string "ok"
  in
  let start = (0., preface ^ settings) in
  let later = frame 1 ~flags:5 ~stream:5 (request "/later" ^ newest) in
  let check what ~seconds frames wanted =
    seen := [];
    ends what handler [ start; (0., get 1 "/slow" ^ frames ^ later) ] (Printf.sprintf "%s, HEADERS 5, DATA 5, HEADERS 1, DATA 1, GOAWAY 0 after %d s" wanted seconds);
    bool (what ^ ": in the table") true (List.mem ("/later", "entry") !seen);
    bool (what ^ ": others are answered") true (List.mem ("/slow", "") !seen)
  in
  List.iter
    (fun n ->
      let block = request "/large" ^ entering ^ large_field n in
      check (Printf.sprintf "a head of %d bytes" n) ~seconds:62 (in_parts ~stream:3 block) "HEADERS 3, DATA 3";
      let trailers = in_parts ~stream:3 (entering ^ large_field n) in
      check (Printf.sprintf "trailers of %d bytes" n) ~seconds:62 (post 3 "/" ^ trailers) "RST_STREAM 3 8")
    [ 17_000; 40_000; 60_000; 100_000 ];
  let fields = String.concat "" (List.init 10_000 (fun _ -> "\x00\x01a\x01b")) in
  check "many fields" ~seconds:62 (in_parts ~stream:3 (request "/large" ^ entering ^ fields)) "HEADERS 3, DATA 3";
  let small = List.init 40 (fun _ -> frame 9 ~stream:3 "\x00\x01a\x01b") in
  let first = frame 1 ~flags:1 ~stream:3 (request "/large") in
  check "small parts" ~seconds:62
    (first ^ String.concat "" small ^ frame 9 ~flags:4 ~stream:3 entering)
    "HEADERS 3, DATA 3"
[@@ocamlformat "disable"]

(* Each costs its sender: in the end it is the connection that ends. *)
let large_heads_in_a_row () =
  let start = (0., preface ^ settings) in
  let ended what frames =
    let got, _ = talk ~limits ok [ start; (0., frames) ] in
    bool what true (String.ends_with ~suffix:"GOAWAY 11" got)
  in
  let head n i = in_parts ~stream:((2 * i) + 1) (request "/" ^ large_field n) in
  ended "heads" (String.concat "" (List.init 30 (head 60_000)));
  ended "one head" (head 1_000_000 0);
  let trailers i = post ((2 * i) + 1) "/" ^ in_parts ~stream:((2 * i) + 1) (large_field 20_000) in
  ended "trailers" (String.concat "" (List.init 30 trailers));
  let part = frame 9 ~stream:1 (String.make 16384 '\x82') in
  ended "a head that names one entry"
    (frame 1 ~flags:1 ~stream:1 (request "/") ^ String.concat "" (List.init 40 (fun _ -> part)));
  ended "a byte at a time"
    (frame 1 ~flags:1 ~stream:1 (request "/")
    ^ String.concat "" (List.init 1000 (fun _ -> frame 9 ~stream:1 "\x82")))

(* What isn't a field counts in the windows, too. *)
let padded_bodies () =
  let got = ref 0 in
  let handler request =
    got := String.length (Server.body_string request);
    Server.string "ok"
  in
  let start = (0., preface ^ settings) in
  let padded = frame 0 ~flags:8 ~stream:1 ("\xff" ^ "data" ^ String.make 255 '\000') in
  let some = String.concat "" (List.init 100 (fun _ -> padded)) in
  (* More than the window of a stream, and of the connection. *)
  let pieces = List.init 60 (fun _ -> (0.01, some)) in
  ends "padding" handler
    ((start :: (0., post 1 "/") :: pieces) @ [ (0., frame 0 ~flags:1 ~stream:1 "") ])
    "HEADERS 1, DATA 1, GOAWAY 0 after 61 s";
  int "the body" (60 * 100 * 4) !got

(* Bodies that nobody reads, before and after the answer, and on streams that the server refuses:
   together they are many times the window of the connection. *)
let unread_bodies () =
  let got = ref 0 in
  let handler request =
    if Server.path request = "/read" then got := String.length (Server.body_string request);
    Server.string "ok"
  in
  let data ?(flags = 0) stream n = frame 0 ~flags ~stream (String.make n 'x') in
  let upload i =
    let stream = (2 * i) + 1 in
    let refused = frame 8 ~stream (u32 0) in
    if i mod 10 = 0 then [ (0., post stream "/" ^ refused ^ data stream 16384) ]
    else [ (0.01, post stream "/" ^ data stream 16384); (0.01, data stream 16384) ]
  in
  let uploads = List.concat_map upload (List.init 200 Fun.id) in
  let last = post 401 "/read" ^ data 401 16384 ^ data ~flags:1 401 16384 in
  let frames, _ = talk ~limits handler (((0., preface ^ settings) :: uploads) @ [ (0.1, last) ]) in
  bool "no error" true (String.ends_with ~suffix:"HEADERS 401, DATA 401, GOAWAY 0" frames);
  int "the last body" 32768 !got

(* Streams count before their tasks are there. Of those without room four wait, at most. *)
let crowded () =
  with_budget ((Soil.Budget.statistics ()).held + 60_000) @@ fun () ->
  let streams = List.init 40 (fun i -> (2 * i) + 1) in
  let gets = String.concat "" (List.map (fun stream -> get stream "/") streams) in
  let handler _ =
    Soil.Clock.sleep 0.2;
    Server.string "ok"
  in
  let shown, _ = talk ~limits handler [ (0., preface ^ settings); (0., gets) ] in
  let frames = List.map String.trim (String.split_on_char ',' shown) in
  let is_refused s = String.starts_with ~prefix:"RST" s && String.ends_with ~suffix:" 7" s in
  bool "the rest is refused" true (List.length (List.filter is_refused frames) > 4);
  int "streams" 0 (Soil.Budget.statistics ()).peers

let tests =
  [
    in_virtual_time "bodies that nobody reads" unread_bodies;
    in_virtual_time "large heads" large_heads;
    in_virtual_time "large heads in a row" large_heads_in_a_row;
    in_virtual_time "bodies with padding" padded_bodies;
    in_virtual_time "streams without memory" crowded;
    in_virtual_time "slow clients" slow_clients;
    in_virtual_time "slow bodies" slow_bodies;
    in_virtual_time "slow readers" slow_readers;
    in_virtual_time "resets" resets;
    in_run "want of memory" evicted;
  ]
