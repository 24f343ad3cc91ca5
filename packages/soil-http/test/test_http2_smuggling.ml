(* Requests of HTTP/2 that a backend with HTTP/1.1 could read as others: a proxy refuses them, or
   the backend gets exactly one request. *)
open Check
open Test_http2_attacks
module Proxy = Soil_http.Proxy

let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

(* Keeps what it gets, and answers when [wanted] holds of that. *)
let backend seen wanted d =
  let b = Bytes.create 4096 in
  let rec go () =
    if wanted (Buffer.contents seen) then D.write_string d answer
    else
      match D.read d b 0 4096 with
      | 0 -> ()
      | n ->
          Buffer.add_subbytes seen b 0 n;
          go ()
  in
  try go () with Soil.Error _ -> ()

let statuses text =
  let d = Hpack.decoder ~table_bytes:4096 in
  let rec go at =
    if at >= String.length text then []
    else
      let length = Int32.to_int (String.get_int32_be text at) lsr 8 in
      let next = at + 9 + length in
      match String.get_uint8 text (at + 3) with
      | 1 ->
          let block = Bytes.of_string (String.sub text (at + 9) length) in
          let fields = Hpack.decode d block 0 length ~max_bytes:max_int ~max_fields:max_int in
          Option.to_list (List.assoc_opt ":status" fields) @ go next
      | 3 -> Printf.sprintf "reset %ld" (String.get_int32_be text (at + 9)) :: go next
      | 7 -> (
          match String.get_int32_be text (at + 13) with
          | 0l -> go next
          | error -> Printf.sprintf "goaway %ld" error :: go next)
      | _ -> go next
  in
  String.concat ", " (go 0)

let contains text part =
  let n = String.length part in
  let rec go i = i + n <= String.length text && (String.sub text i n = part || go (i + 1)) in
  go 0

(* What the client gets for these frames, and what the backend. *)
let through ?(wanted = fun text -> contains text "\r\n\r\n") ?(later = "") frames =
  let seen = Buffer.create 100 in
  let result =
    Soil.Task.scope @@ fun scope ->
    let connect ~host:_ ~port:_ =
      let ours, theirs = Soil.Flow.pair () in
      ignore (Soil.Task.spawn_daemon scope (fun () -> D.with_close theirs (backend seen wanted)));
      ours
    in
    let proxy = Proxy.create ~connect scope [ Uri.of_string "http://backend" ] in
    let client, server = Soil.Flow.pair () in
    let serve () =
      D.with_close server (fun server ->
          Server.connection ~limits ~http2:(Soil_http.Http2.server ()) server (Proxy.handle proxy))
    in
    let ask () =
      D.write_string client (preface ^ settings ^ frames);
      if later <> "" then (
        Soil.Clock.sleep 1.;
        try D.write_string client later with Soil.Error _ -> ());
      let text = D.read_all client in
      D.close client;
      text
    in
    let (), text = Soil.Task.both serve ask in
    statuses text
  in
  (result, Buffer.contents seen)

let block fields =
  let out = Buffer.create 100 in
  Hpack.encode (Hpack.encoder ()) out fields;
  Buffer.contents out

let head ?(last = true) fields = frame 1 ~flags:(if last then 5 else 4) ~stream:1 (block fields)
let data ?(last = true) text = frame 0 ~flags:(if last then 1 else 0) ~stream:1 text

let pseudo ?(meth = "GET") ?(scheme = "http") ?(authority = "a") ?(path = "/") () =
  [ (":method", meth); (":scheme", scheme); (":authority", authority); (":path", path) ]

let refused ?(wanted = "reset 1") what frames =
  let got, seen = through frames in
  string (String.escaped what) wanted got;
  string (String.escaped what ^ ": at the backend") "" seen

let fields () =
  let refuse (name, value) = refused (name ^ ": " ^ value) (head (pseudo () @ [ (name, value) ])) in
  List.iter refuse
    [
      ("X-Upper", "1"); ("x y", "1"); ("x:y", "1"); ("", "1"); ("x\r\ny", "1"); ("x\000", "1"); ("x\xff", "1");
      (":x", "1"); (":path", "/b"); (":status", "200");
      ("x", "1\r\ny: 2"); ("x", "1\ny: 2"); ("x", "1\r"); ("x", "\000"); ("x", " 1"); ("x", "1 "); ("x", "1\t");
      ("transfer-encoding", "chunked"); ("transfer-encoding", "identity"); ("connection", "close");
      ("connection", "x"); ("keep-alive", "5"); ("proxy-connection", "keep-alive"); ("upgrade", "h2c");
      ("te", "gzip"); ("te", "trailers, gzip"); ("host", "b"); ("host", "a\r\nx: y");
      ("content-length", "5"); ("content-length", "-1"); ("content-length", "+0"); ("content-length", "0x0");
      ("content-length", "0, 0"); ("content-length", ""); ("content-length", "18446744073709551616");
    ];
  refused "two lengths" (head (pseudo () @ [ ("content-length", "0"); ("content-length", "0") ]));
  refused "two hosts" (head (pseudo () @ [ ("host", "a"); ("host", "a") ]));
  refused "late" (head ([ ("x", "1") ] @ pseudo ()))
[@@ocamlformat "disable"]

let pseudo_fields () =
  let refuse what fields = refused what (head fields) in
  List.iter
    (fun meth -> refuse ("method " ^ meth) (pseudo ~meth ()))
    [ ""; "GE T"; "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"; "G\000" ];
  List.iter
    (fun path -> refuse ("path " ^ path) (pseudo ~path ()))
    [
      ""; "x"; "*"; "http://b/"; "/ HTTP/1.1\r\nHost: b\r\n\r\nGET /"; "/a b"; "/\t"; "/\n"; "/\r"; "/\000"; "/\x7f"; "/\xff";
    ];
  List.iter
    (fun authority -> refuse ("authority " ^ authority) (pseudo ~authority ()))
    [ ""; "a b"; "a\r\nX: y"; "a/b"; "a?b"; "a#b"; "a@b"; "a,b"; "a\000" ];
  List.iter (fun scheme -> refuse ("scheme " ^ scheme) (pseudo ~scheme ())) [ ""; "ht tp"; "http\r\n" ];
  List.iter
    (fun name -> refuse ("no " ^ name) (List.filter (fun (n, _) -> n <> name) (pseudo ())))
    [ ":method"; ":scheme"; ":path"; ":authority" ];
  List.iter
    (fun field -> refuse ("twice " ^ fst field) (pseudo () @ [ field ]))
    (pseudo ());
  refused "CONNECT" ~wanted:"501" (head [ (":method", "CONNECT"); (":authority", "a:25") ])
[@@ocamlformat "disable"]

(* The backend's text without what the proxy adds. *)
let request_of text =
  let is_own line =
    List.exists
      (fun prefix -> String.starts_with ~prefix (String.lowercase_ascii line))
      [ "x-forwarded"; "forwarded"; "via"; "user-agent" ]
  in
  String.split_on_char '\n' text
  |> List.map (fun l -> if String.ends_with ~suffix:"\r" l then String.sub l 0 (String.length l - 1) else l)
  |> List.filter (fun l -> not (is_own l))
  |> String.concat "|"
[@@ocamlformat "disable"]

let passes ?wanted ?later what frames request =
  let got, seen = through ?wanted ?later frames in
  string what "200" got;
  string (what ^ ": at the backend") request (String.lowercase_ascii (request_of seen))

(* More than a proxy collects before it sends: it has to use chunks. *)
let large = String.concat "" (List.init 12 (fun _ -> data ~last:false (String.make 16000 'x')))

(* The body ends where the proxy says so, whatever it contains. *)
let bodies () =
  passes "te"
    (head (pseudo () @ [ ("te", "trailers") ]))
    "get / http/1.1|host: a|te: trailers|connection: te||";
  passes "the same host" (head (pseudo () @ [ ("host", "A") ])) "get / http/1.1|host: a||";
  passes "crumbs"
    (head (pseudo () @ [ ("cookie", "a=1"); ("x", "y"); ("cookie", "b=2") ]))
    "get / http/1.1|host: a|x: y|cookie: a=1; b=2||";
  let post = pseudo ~meth:"POST" () in
  let other = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n" in
  let has suffix text = String.ends_with ~suffix text in
  passes "a body like a request" ~wanted:(has other)
    (head ~last:false post ^ data other)
    "post / http/1.1|host: a|content-length: 37||0||get /admin http/1.1|host: a||";
  let got, seen =
    through ~wanted:(has "\r\n\r\n\r\n0\r\n\r\n") (head ~last:false post ^ large ^ data other)
  in
  string "by chunks" "200" got;
  (* It is within the last chunk, of 14848 bytes and these 37. *)
  bool "by chunks: one request" true
    (contains seen ("\r\n3a25\r\n" ^ String.make 14848 'x' ^ other));
  passes "with a length" ~wanted:(has "hello")
    (head ~last:false (post @ [ ("content-length", "5") ]) ^ data ~last:false "he" ^ data "llo")
    "post / http/1.1|host: a|content-length: 5||hello";
  (* The rest is a mistake of the stream; what has gone out is one request at most. *)
  let got, seen =
    through
      ~wanted:(fun _ -> false)
      (head ~last:false (post @ [ ("content-length", "5") ])
      ^ data "hello GET /admin HTTP/1.1\r\n\r\n")
  in
  string "more than the length" "reset 1" got;
  bool "no second request" false (contains seen "admin");
  let got, _ =
    through
      ~wanted:(fun _ -> false)
      (head ~last:false (post @ [ ("content-length", "5") ]) ^ data "he")
  in
  string "less than the length" "reset 1" got

(* Trailers that would be framing, or a second head. *)
let trailers () =
  let post = pseudo ~meth:"POST" () in
  let send field =
    through
      ~wanted:(fun text -> String.ends_with ~suffix:"0\r\n\r\n" text)
      (head ~last:false post ^ large)
      ~later:(head [ field ])
  in
  let got, seen = send (":path", "/admin") in
  string "a second head" "reset 1" got;
  bool "a whole request" false (String.ends_with ~suffix:"0\r\n\r\n" seen);
  List.iter
    (fun (name, value) ->
      let _, seen = send (name, value) in
      let end_of_body = String.sub seen (String.rindex seen 'x') (String.length seen - String.rindex seen 'x') in
      bool (String.escaped (name ^ ": " ^ value)) true (List.mem end_of_body [ "x\r\n"; "x\r\n0\r\n\r\n" ]))
    [
      ("transfer-encoding", "chunked"); ("connection", "y"); ("content-length", "100"); ("host", "evil");
      ("Y", "1"); ("y", "1\r\n\r\nGET /admin"); ("y\r\n\r\nGET /admin", "1"); ("te", "trailers");
    ]
[@@ocamlformat "disable"]

(* A backend gets one key, which is the proxy's: a client has none to send (RFC 8441 §5). *)
let keys () =
  let fields = [ (":method", "CONNECT"); (":protocol", "websocket"); (":scheme", "http"); (":authority", "a"); (":path", "/"); ("sec-websocket-version", "13") ] in
  let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==") in
  let keys seen = List.length (List.filter (String.starts_with ~prefix:"sec-websocket-key:") (String.split_on_char '\n' (String.lowercase_ascii seen))) in
  let _, seen = through (head ~last:false fields) in
  int "the proxy's" 1 (keys seen);
  refused ~wanted:"400, reset 0" "a client's" (head ~last:false (fields @ [ key ]))
[@@ocamlformat "disable"]

let tests =
  let in_virtual_time name f = in_run name (fun () -> Soil.Virtual_clock.run f) in
  [
    in_virtual_time "fields" fields;
    in_virtual_time "pseudo-header fields" pseudo_fields;
    in_virtual_time "bodies" bodies;
    in_virtual_time "trailers" trailers;
    in_virtual_time "keys of WebSocket" keys;
  ]
