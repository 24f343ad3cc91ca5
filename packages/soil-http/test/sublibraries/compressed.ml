(* Content codings. *)
open Check
module E = Soil_http.Encoding
module G = Soil_http_gzip
module H = Cohttp.Header

(* By zlib, and checked against the trailer. *)
let uncompress s =
  let n = String.length s in
  if String.sub s 0 10 <> "\x1f\x8b\x08\000\000\000\000\000\000\xff" then failwith "not gzip";
  let at = ref 10 and b = Buffer.create 100 in
  let refill buffer =
    let k = min (Bytes.length buffer) (n - 8 - !at) in
    Bytes.blit_string s !at buffer 0 k;
    at := !at + k;
    k
  in
  Zlib.uncompress ~header:false refill (fun piece k -> Buffer.add_subbytes b piece 0 k);
  let text = Buffer.contents b in
  let crc = Zlib.update_crc_string 0l text 0 (String.length text) in
  if String.get_int32_le s (n - 8) <> crc then failwith "checksum";
  if String.get_int32_le s (n - 4) <> Int32.of_int (String.length text) then failwith "length";
  text

let there_and_back (level, s) = uncompress (G.compress ~level s) = s

(* What is easy to compress, what isn't, and around the sizes of the pieces. *)
let gen =
  let open QCheck2.Gen in
  let size =
    oneof [ int_range 0 100; int_range 16_000 17_000; int_range 65_500 65_600; int_range 0 200_000 ]
  in
  let text =
    bind size (fun n -> oneof [ pure (String.make n 'x'); string_size ~gen:char (pure n) ])
  in
  pair (int_range 1 9) text

(* Bodies of chunks. *)
let unchunk text =
  let b = Buffer.create 1000 in
  let rec go i =
    let stop = String.index_from text i '\r' in
    let n = int_of_string ("0x" ^ String.sub text i (stop - i)) in
    Buffer.add_string b (String.sub text (stop + 2) n);
    if n > 0 then go (stop + 4 + n)
  in
  go 0;
  Buffer.contents b

let split answer =
  let rec find i = if String.sub answer i 4 = "\r\n\r\n" then i else find (i + 1) in
  let i = find 0 in
  (String.sub answer 0 i, String.sub answer (i + 4) (String.length answer - i - 4))

let head answer = fst (split answer)

let field name answer =
  let prefix = name ^ ": " in
  let is_it line = String.starts_with ~prefix line in
  let lines = List.map String.trim (String.split_on_char '\n' (head answer)) in
  match List.filter is_it lines with
  | [] -> "none"
  | l ->
      String.concat "+"
        (List.map
           (fun s -> String.sub s (String.length prefix) (String.length s - String.length prefix))
           l)

let text = String.concat " " (List.init 500 string_of_int)
let headers l = H.of_list (("content-type", "text/plain; charset=utf-8") :: l)
let gzip = [ G.coding () ]

let ask ?(codings = gzip) ?(meth = "GET") ?accept response =
  let fields = match accept with Some a -> "Accept-Encoding: " ^ a ^ "\r\n" | None -> "" in
  let handler = E.handler codings (fun _ -> response ()) in
  answers handler [ meth ^ " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" ^ fields ^ "\r\n" ]

let plain () = Server.string ~headers:(headers []) text

let negotiation () =
  let is accept wanted =
    string accept wanted (field "content-encoding" (ask ~accept plain));
    string (accept ^ ": vary") "accept-encoding" (field "vary" (ask ~accept plain))
  in
  List.iter
    (fun accept -> is accept "gzip")
    [
      "gzip"; "GZIP"; "br, gzip"; "*"; "gzip;q=0.001"; "gzip ; Q=0.5"; "deflate, *;q=0.1";
      "identity;q=0.5, gzip;q=0.6"; "identity;q=0, *"; "gzip;q=1.000"; "gzip, identity";
    ];
  List.iter
    (fun accept -> is accept "none")
    [
      ""; "br"; "identity"; "gzip;q=0"; "gzip;q=0.000"; "*, gzip;q=0"; "*;q=0";
      "identity, gzip;q=0.9"; "gzip;q=2"; "gzip;q=x"; "gzip;q=-1"; "xgzip";
      "gzip;level=1";
    ];
  string "no field" "none" (field "content-encoding" (ask plain));
  let other = E.coding "other" ~string:(fun s -> "other " ^ s) ~stream:(fun write d -> write d) in
  let which accept = field "content-encoding" (ask ~codings:(other :: gzip) ~accept plain) in
  string "the first" "other" (which "gzip, other");
  string "the heavier" "gzip" (which "gzip, other;q=0.9");
  string "all others" "other" (which "gzip;q=0.5, *;q=0.6")
[@@ocamlformat "disable"]

let bodies () =
  let encoded response =
    let answer = ask ~accept:"gzip" response in
    if field "content-encoding" answer = "gzip" then
      let body = snd (split answer) in
      let body = if field "transfer-encoding" answer = "chunked" then unchunk body else body in
      if
        field "content-length" answer = "none"
        || int_of_string (field "content-length" answer) = String.length body
      then uncompress body
      else "length"
    else "not encoded"
  in
  let not_encoded what response = string what "not encoded" (encoded response) in
  string "a string" text (encoded plain);
  let buffer () = Bigarray.Array1.init Char C_layout (String.length text) (String.get text) in
  string "a buffer" text (encoded (fun () -> Server.buffer ~headers:(headers []) (buffer ())));
  let stream ?length s () =
    Server.stream ~headers:(headers []) ?length (fun d -> D.write_string d s)
  in
  string "a stream" text (encoded (stream text));
  string "with a length" text (encoded (stream ~length:(String.length text) text));
  let long = String.concat text (List.init 100 string_of_int) in
  string "a long one" long (encoded (stream long));
  not_encoded "a short stream" (stream ~length:5 "short");
  string "a short stream without a length" "short" (encoded (stream "short"));
  not_encoded "a short string" (fun () -> Server.string ~headers:(headers []) (String.make 999 'x'));
  string "at the bound" (String.make 1000 'x')
    (encoded (fun () -> Server.string ~headers:(headers []) (String.make 1000 'x')));
  let typed t () = Server.string ~headers:(H.init_with "content-type" t) text in
  List.iter
    (fun t -> string t text (encoded (typed t)))
    [
      "application/json";
      "Application/JSON; charset=utf-8";
      "image/svg+xml";
      "application/problem+json";
      "text/event-stream";
    ];
  List.iter (fun t -> not_encoded t (typed t)) [ "image/png"; "application/octet-stream"; "" ];
  not_encoded "no type" (fun () -> Server.string text);
  List.iter
    (fun field ->
      not_encoded (fst field) (fun () -> Server.string ~headers:(headers [ field ]) text))
    [
      ("content-encoding", "br");
      ("content-range", "bytes 0-1/2");
      ("cache-control", "private, no-transform");
    ];
  not_encoded "a part" (fun () -> Server.string ~status:`Partial_content ~headers:(headers []) text);
  not_encoded "not modified" (fun () -> Server.status ~headers:(headers []) `Not_modified);
  let upper = String.length (G.compress text) in
  bool "smaller" true (upper < String.length text / 2)

let fields () =
  let get ?meth l = ask ?meth ~accept:"gzip" (fun () -> Server.string ~headers:(headers l) text) in
  string "a weak tag" "W/\"1\"" (field "etag" (get [ ("etag", "\"1\"") ]));
  string "as it was" "W/\"1\"" (field "etag" (get [ ("etag", "W/\"1\"") ]));
  string "another vary" "cookie+accept-encoding" (field "vary" (get [ ("vary", "cookie") ]));
  string "the same vary" "cookie, Accept-Encoding"
    (field "vary" (get [ ("vary", "cookie, Accept-Encoding") ]));
  let strong =
    ask ~accept:"br" (fun () -> Server.string ~headers:(headers [ ("etag", "\"1\"") ]) text)
  in
  string "not encoded: the tag" "\"1\"" (field "etag" strong);
  string "the same head" (head (get [] ~meth:"GET")) (head (get [] ~meth:"HEAD"));
  string "without a body" "" (snd (split (get [] ~meth:"HEAD")))

(* What was written comes out before the stream goes on. *)
let at_once () =
  let client, server = Soil.Flow.pair () in
  let seen = Soil.Task.Promise.create () in
  let write d =
    D.write_string d "first ";
    Soil.Task.Promise.await seen;
    D.write_string d "second"
  in
  let response _ = Server.stream ~headers:(headers []) write in
  let serve () = Server.connection server (E.handler gzip response) in
  let read () =
    D.write_string client (get "/" ~fields:"Accept-Encoding: gzip\r\nConnection: close\r\n");
    let r = Soil.Reader.create client in
    let rec skip () = if Soil.Reader.line r <> "" then skip () in
    skip ();
    let inflate = Zlib.inflate_init false and out = Bytes.create 100 in
    let rec chunks text =
      let n = int_of_string ("0x" ^ Soil.Reader.line r) in
      let data = Bytes.of_string (Soil.Reader.take r n) in
      ignore (Soil.Reader.line r);
      (* The head is a chunk of its own. *)
      if Bytes.starts_with ~prefix:(Bytes.of_string "\x1f\x8b") data then chunks text
      else
        let _, _, made = Zlib.inflate inflate data 0 n out 0 100 Zlib.Z_SYNC_FLUSH in
        let text = text ^ Bytes.sub_string out 0 made in
        if String.length text >= 6 then text else chunks text
    in
    string "the first write" "first " (chunks "");
    Soil.Task.Promise.fulfil seen ();
    let rec rest () = if Soil.Reader.line r <> "0" then rest () in
    rest ()
  in
  ignore (Soil.Task.both serve read)

let levels () =
  List.iter
    (fun level -> is_invalid "a level" (fun () -> ignore (G.coding ~level ())))
    [ -1; 0; 10 ];
  List.iter (fun level -> is_invalid "a level" (fun () -> ignore (G.compress ~level ""))) [ 0; 10 ]

(* Decompression *)

let result =
  Alcotest.(
    result string
      (of_pp (fun f e ->
           Format.pp_print_string f
             (match e with `Malformed -> "malformed" | `Too_large -> "too large"))))

let decompresses (level, s) = G.decompress ~max:(String.length s) (G.compress ~level s) = Ok s

(* No prefix is a file, and no single changed byte gives another text. *)
let damage =
  let open QCheck2.Gen in
  triple (string_size ~gen:printable (int_range 1 300)) nat (int_range 1 255)

let refuses_damage (s, at, by) =
  let file = G.compress s in
  let at = at mod String.length file in
  let changed =
    String.mapi (fun i c -> if i = at then Char.chr (Char.code c lxor by) else c) file
  in
  G.decompress ~max:1000 (String.sub file 0 at) = Error `Malformed
  && match G.decompress ~max:1000 changed with Ok text -> text = s | Error _ -> true

let decompression () =
  let is what expected got = Alcotest.check result what expected got in
  let file = G.compress text and n = String.length text in
  is "at the limit" (Ok text) (G.decompress ~max:n file);
  is "above" (Error `Too_large) (G.decompress ~max:(n - 1) file);
  is "nothing" (Ok "") (G.decompress ~max:0 (G.compress ""));
  is "two files" (Ok (text ^ "a")) (G.decompress ~max:(n + 1) (file ^ G.compress "a"));
  is "two, above" (Error `Too_large) (G.decompress ~max:n (file ^ G.compress "a"));
  is "bytes after it" (Error `Malformed) (G.decompress ~max:n (file ^ "\x1f"));
  is "no file" (Error `Malformed) (G.decompress ~max:n "");
  (* Extra field, name, comment and checksum of the head. *)
  let rest = String.sub file 10 (String.length file - 10) in
  let head = "\x1f\x8b\x08\x1e\000\000\000\000\000\xff\003\000abcname\000comment\000xx" in
  is "all of a head" (Ok text) (G.decompress ~max:n (head ^ rest));
  (* The head ends after the text. *)
  List.iter
    (fun rest ->
      is "a short head" (Error `Malformed) (G.decompress ~max:n (String.sub head 0 3 ^ rest)))
    [
      "\002\000\000\000\000\000\xff";
      "\002\000\000\000\000\000\xffx";
      "\004\000\000\000\000\000\xff\005\000abc";
    ];
  (* A bomb: its limit costs no more than that. *)
  let bomb = G.compress (String.make 50_000_000 'x') in
  let before = Gc.allocated_bytes () in
  is "a bomb" (Error `Too_large) (G.decompress ~max:100_000 bomb);
  bool "memory" true (Gc.allocated_bytes () -. before < 1e6)

(* Memory *)

module B = Soil.Budget

(* [f ()] for a peer, while another task runs at each of its turns: the result, the most that
   counted for the peer, and how often the other task ran. *)
let observed f =
  let peer = B.create () in
  Fun.protect ~finally:(fun () -> B.release peer) @@ fun () ->
  let most = ref 0 and turns = ref 0 in
  let rec watch () =
    incr turns;
    most := max !most (B.bytes peer);
    Soil.Task.yield ();
    watch ()
  in
  let result =
    Soil.Task.scope @@ fun scope ->
    ignore (Soil.Task.spawn_daemon scope watch);
    B.run peer f
  in
  int "given back" 0 (B.bytes peer);
  (result, !most, !turns)

let counted () =
  let n = 4_000_000 in
  let long = String.make n 'x' in
  let bomb = G.compress long in
  let result, most, _ = observed (fun () -> G.decompress ~max:n bomb) in
  bool "decompressed" true (result = Ok long);
  bool "counts before it is made" true (most >= n);
  let noise = String.init n (fun i -> Char.unsafe_chr (Hashtbl.hash i land 255)) in
  let result, most, _ = observed (fun () -> G.compress noise) in
  bool "a compressor's state and output" true (most >= 268_000 + (String.length result / 2))

let refused () =
  let n = 4_000_000 in
  let bomb = G.compress (String.make n 'x') in
  let peer = B.create () in
  let check what f =
    with_budget ((B.statistics ()).held + 1_000_000) @@ fun () ->
    (match B.run peer f with
    | _ -> Alcotest.fail (what ^ ": no room is free")
    | exception e -> bool what true (B.is_refusal e));
    int (what ^ ": given back") 0 (B.bytes peer)
  in
  check "a bomb" (fun () -> ignore (G.decompress ~max:n bomb));
  let noise = String.init n (fun i -> Char.unsafe_chr (Hashtbl.hash i land 255)) in
  check "a text" (fun () -> ignore (G.compress ~level:1 noise))

let empty_files () =
  let files = String.concat "" (List.init 10_000 (fun _ -> G.compress "")) in
  let result, _, turns = observed (fun () -> G.decompress ~max:0 files) in
  bool "decompressed" true (result = Ok "");
  bool "other tasks run" true (turns > 100)

let () =
  Alcotest.run "soil-http.gzip"
    [
      ( "encoding",
        [
          property_in_run ~count:60 "there and back" gen there_and_back;
          in_run "negotiation" negotiation;
          in_run "bodies" bodies;
          in_run "fields" fields;
          in_run "a stream goes at once" at_once;
          test "levels" levels;
        ] );
      ( "decompression",
        [
          property_in_run ~count:60 "there and back" gen decompresses;
          property_in_run ~count:500 "refuses damage" damage refuses_damage;
          in_run "limits and heads" decompression;
          in_run "empty files yield" empty_files;
        ] );
      ( "memory",
        [
          in_run "counts as it is made" counted; in_virtual_time "no room for what is made" refused;
        ] );
    ]
