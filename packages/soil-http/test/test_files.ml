(* Files as responses: /site is a folder of the host. *)
open Check

let handler = Soil_http.Files.handler "/site"
let ask ?fields target = answers handler [ get ?fields target ]

let field name text =
  let prefix = name ^ ": " in
  let n = String.length prefix in
  let rec find = function
    | "" :: _ | [] -> "none"
    | line :: _ when String.starts_with ~prefix line -> String.sub line n (String.length line - n)
    | _ :: rest -> find rest
  in
  find (String.split_on_char '|' (plain text))

let body text =
  match String.index_from_opt text 0 '\r' with
  | None -> ""
  | Some _ ->
      let rec find i = if String.sub text i 4 = "\r\n\r\n" then i + 4 else find (i + 1) in
      let i = find 0 in
      String.sub text i (String.length text - i)

let has what wanted text = string what wanted (status text ^ " " ^ body text)

let paths () =
  has "a page" "200 a page\n" (ask "/page.txt");
  string "its type" "text/plain; charset=utf-8" (field "content-type" (ask "/page.txt"));
  has "with escapes and a query" "200 a page\n" (ask "/%70age.txt?x=/..");
  has "a directory" "200 index\n" (ask "/docs/");
  string "a directory without its slash" "/docs/" (field "location" (ask "/docs"));
  List.iter
    (fun (path, wanted) -> string path wanted (status (ask path)))
    [
      ("/docs", "301");
      ("/missing", "404");
      ("/page.txt/", "404");
      ("/page.txt/x", "404");
      ("//page.txt", "404");
      ("/docs//index.html", "404");
      ("/../page.txt", "400");
      ("/docs/../page.txt", "400");
      ("/%2e%2e/page.txt", "400");
      ("/docs%2findex.html", "400");
      ("/docs%5cindex.html", "400");
      ("/page%00.txt", "400");
      ("/./page.txt", "400");
    ];
  let post = "POST /page.txt HTTP/1.1\r\nHost: a\r\n\r\n" in
  string "another method" "405" (status (answers handler [ post ]));
  string "what is allowed" "GET, HEAD" (field "allow" (answers handler [ post ]))

let ranges () =
  let range fields = ask "/page.txt" ~fields:("Range: " ^ fields ^ "\r\n") in
  List.iter
    (fun (value, wanted, range_wanted) ->
      has value wanted (range value);
      string (value ^ ": which") range_wanted (field "content-range" (range value)))
    [
      ("bytes=0-0", "206 a", "bytes 0-0/7");
      ("bytes=2-5", "206 page", "bytes 2-5/7");
      ("bytes=2-", "206 page\n", "bytes 2-6/7");
      ("bytes=5-100", "206 e\n", "bytes 5-6/7");
      ("bytes=0-99999999999999999999", "206 a page\n", "bytes 0-6/7");
      ("bytes=-3", "206 ge\n", "bytes 4-6/7");
      ("bytes=-100", "206 a page\n", "bytes 0-6/7");
      ("Bytes=0-1", "206 a ", "bytes 0-1/7");
      ("bytes=7-", "416 416 Requested Range Not Satisfiable\n", "bytes */7");
      ("bytes=99999999999999999999-", "416 416 Requested Range Not Satisfiable\n", "bytes */7");
      ("bytes=-0", "416 416 Requested Range Not Satisfiable\n", "bytes */7");
      ("bytes=0-0,2-2", "206 a p", "bytes 0-2/7");
      ("bytes=4-5 , 0-1,,", "206 a page", "bytes 0-5/7");
      ("bytes=7-,-2", "206 e\n", "bytes 5-6/7");
      ("bytes=7-,9-", "416 416 Requested Range Not Satisfiable\n", "bytes */7");
      ("bytes=0-0,a", "200 a page\n", "none");
      ("bytes=,", "200 a page\n", "none");
      ("bytes=3-2", "200 a page\n", "none");
      ("bytes=a-b", "200 a page\n", "none");
      ("bytes=", "200 a page\n", "none");
      ("bytes=-", "200 a page\n", "none");
      ("lines=0-0", "200 a page\n", "none");
    ];
  let head = "HEAD /page.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n" in
  string "only GET has ranges" "200" (status (answers handler [ head ]))
[@@ocamlformat "disable"]

let several_ranges () =
  let size = 300_000 in
  let contents = String.init size (fun i -> Char.chr (i * 31 mod 251)) in
  Soil.Fs.mount "memory:1M" "/memory";
  Fun.protect ~finally:(fun () -> Soil.Fs.unmount "/memory") @@ fun () ->
  Soil.Fs.write_file "/memory/large.txt" contents;
  Soil.Embedded.register ~at:"/ranges" [| ("large.txt", contents) |];
  let answers root ranges =
    answers (Soil_http.Files.handler root)
      [ get "/large.txt" ~fields:("Range: bytes=" ^ ranges ^ "\r\n") ]
  in
  let boundary text =
    let value = field "content-type" text in
    let prefix = "multipart/byteranges; boundary=" in
    bool value true (String.starts_with ~prefix value);
    let n = String.length prefix in
    String.sub value n (String.length value - n)
  in
  let check ranges wanted =
    let check_at root =
      let text = answers root ranges in
      let b = boundary text in
      let part (first, last) =
        Printf.sprintf
          "--%s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-range: bytes %d-%d/%d\r\n\r\n%s\r\n"
          b first last size
          (String.sub contents first (last - first + 1))
      in
      string ranges (String.concat "" (List.map part wanted) ^ "--" ^ b ^ "--\r\n") (body text);
      string "status" "206" (status text);
      string "no range of the whole" "none" (field "content-range" text);
      string "length" (field "content-length" text) (string_of_int (String.length (body text)))
    in
    List.iter check_at [ "/memory"; "/ranges" ]
  in
  check "0-9,1000-1099" [ (0, 9); (1000, 1099) ];
  check "-5,0-9" [ (0, 9); (299_995, 299_999) ];
  check "200000-299999,0-99999" [ (0, 99_999); (200_000, 299_999) ];
  check "0-9,91-99,400000-" [ (0, 9); (91, 99) ];
  check "0-99,50-199,1000-1009,1005-1006" [ (0, 199); (1000, 1009) ];
  let sixteen = String.concat "," (List.init 16 (fun i -> Printf.sprintf "%d-%d" (i * 200) (i * 200))) in
  check sixteen (List.init 16 (fun i -> (i * 200, i * 200)));
  string "more than sixteen" "200" (status (answers "/memory" (sixteen ^ ",9999-9999")));
  (* What is asked for often is sent once. *)
  let text = answers "/memory" (String.concat "," (List.init 16 (fun _ -> "0-"))) in
  string "one range" "bytes 0-299999/300000" (field "content-range" text);
  int "once" size (String.length (body text))
[@@ocamlformat "disable"]

(* Long ago, so that their tags are strong: dune has just copied them. *)
let age () =
  let old = Soil.File.of_float 1e9 in
  List.iter
    (fun name -> Soil.File.set_times ~modified:old ("/site/" ^ name))
    [ "page.txt"; "both.css"; "both.css.gz" ]

let conditions () =
  age ();
  let whole = ask "/page.txt" in
  let tag = field "etag" whole and date = field "last-modified" whole in
  let weak = "W/" ^ tag and other = "\"other\"" in
  let before = "Sun, 06 Nov 1994 08:49:37 GMT" and after = "Sun, 06 Nov 2067 08:49:37 GMT" in
  let range = ("Range", "bytes=0-0") in
  List.iter
    (fun (fields, wanted) ->
      let fields = String.concat "" (List.map (fun (n, v) -> n ^ ": " ^ v ^ "\r\n") fields) in
      string fields wanted (status (ask "/page.txt" ~fields)))
    [
      ([ ("If-None-Match", tag) ], "304");
      ([ ("If-None-Match", weak) ], "304");
      ([ ("If-None-Match", other ^ ", " ^ tag) ], "304");
      ([ ("If-None-Match", "*") ], "304");
      ([ ("If-None-Match", other) ], "200");
      ([ ("If-None-Match", other); ("If-Modified-Since", date) ], "200");
      ([ ("If-Modified-Since", date) ], "304");
      ([ ("If-Modified-Since", after) ], "304");
      ([ ("If-Modified-Since", before) ], "200");
      ([ ("If-Modified-Since", "yesterday") ], "200");
      ([ ("If-Match", tag) ], "200");
      ([ ("If-Match", "*") ], "200");
      ([ ("If-Match", weak) ], "412");
      ([ ("If-Match", other) ], "412");
      ([ ("If-Unmodified-Since", date) ], "200");
      ([ ("If-Unmodified-Since", before) ], "412");
      ([ ("If-Match", tag); ("If-Unmodified-Since", before) ], "200");
      ([ range; ("If-Range", tag) ], "206");
      ([ range; ("If-Range", weak) ], "200");
      ([ range; ("If-Range", other) ], "200");
      ([ range; ("If-Range", date) ], "206");
      ([ range; ("If-Range", before) ], "200");
      ([ range; ("If-None-Match", tag) ], "304");
    ]
[@@ocamlformat "disable"]

(* A file that was changed just now may change again within its time's resolution. *)
let weak () =
  let name = "/site/new.txt" in
  let rec tag_of_new tries =
    let start = Soil.Clock.now () in
    Soil.Fs.write_file name "new";
    let tag = field "etag" (ask "/new.txt") in
    let is_weak = String.starts_with ~prefix:"W/\"" tag in
    (* Where this process had to wait for its turn, the file may not be that new any more. *)
    if (not is_weak) && Soil.Clock.now () -. start > 2.9 && tries > 1 then tag_of_new (tries - 1)
    else (
      bool "weak" true is_weak;
      tag)
  in
  let tag = tag_of_new 20 in
  let status_with fields = status (ask "/new.txt" ~fields) in
  string "known" "304" (status_with ("If-None-Match: " ^ tag ^ "\r\n"));
  string "not good enough for If-Match" "412" (status_with ("If-Match: " ^ tag ^ "\r\n"));
  string "nor for a part" "200" (status_with ("Range: bytes=0-0\r\nIf-Range: " ^ tag ^ "\r\n"));
  Soil.Fs.unlink name

let siblings () =
  let gzip coding = ask "/both.css" ~fields:("Accept-Encoding: " ^ coding ^ "\r\n") in
  has "compressed" "200 not really gzip" (gzip "deflate, gzip;q=0.5");
  string "its coding" "gzip" (field "content-encoding" (gzip "gzip"));
  string "its type" "text/css; charset=utf-8" (field "content-type" (gzip "gzip"));
  has "not wanted" "200 plain text" (gzip "gzip;q=0, deflate");
  has "not asked for" "200 plain text" (ask "/both.css");
  string "said to caches" "accept-encoding" (field "vary" (ask "/both.css"));
  has "no sibling" "200 a page\n" (ask "/page.txt" ~fields:"Accept-Encoding: gzip\r\n");
  bool "tags differ" true (field "etag" (gzip "gzip") <> field "etag" (ask "/both.css"));
  let without = Soil_http.Files.handler ~gzip:false "/site" in
  has "switched off" "200 plain text"
    (answers without [ get "/both.css" ~fields:"Accept-Encoding: gzip\r\n" ])

let large () =
  let contents = String.init 300_000 (fun i -> Char.chr (i * 31 mod 251)) in
  Soil.Fs.mount "memory:1M" "/memory";
  Soil.Fs.write_file "/memory/large" contents;
  let handler = Soil_http.Files.handler "/memory" in
  let ask ?fields () = body (answers handler [ get ?fields "/large" ]) in
  string "the whole" contents (ask ());
  string "a part" (String.sub contents 1000 200_001) (ask ~fields:"Range: bytes=1000-201000\r\n" ());
  Soil.Fs.unmount "/memory"

let embedded () =
  Soil.Embedded.register ~at:"/inside"
    [| ("a.txt", "one"); ("b.txt", "two"); ("c.bin", String.make 20_000 'c') |];
  let handler = Soil_http.Files.handler "/inside" in
  let ask ?fields target = answers handler [ get ?fields target ] in
  has "a short one" "200 one" (ask "/a.txt");
  string "no time" "none" (field "last-modified" (ask "/a.txt"));
  let tag = field "etag" (ask "/a.txt") in
  bool "its tag is of the contents" true (tag <> field "etag" (ask "/b.txt"));
  string "known" "304" (status (ask "/a.txt" ~fields:("If-None-Match: " ^ tag ^ "\r\n")));
  has "a part" "206 w" (ask "/b.txt" ~fields:"Range: bytes=1-1\r\n");
  int "a long one" 20_000 (String.length (body (ask "/c.bin")))

let tests =
  [
    in_run "targets name files below the root only" paths;
    in_run "one range is answered with its part" ranges;
    in_run "several ranges are answered with their parts" several_ranges;
    in_run "preconditions are heeded in their order" conditions;
    in_run "a file that just changed has a weak tag" weak;
    in_run "a compressed sibling goes to those who take it" siblings;
    in_run "long files go in slices" large;
    in_run "embedded files have tags of their contents" embedded;
  ]
