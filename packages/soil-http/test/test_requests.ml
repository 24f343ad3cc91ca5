(* What a server makes of what comes, byte by byte. *)
open Check

(* The status, and that the connection ended although the client would have gone on: behind each
   request there is a good one, which a server that misread the first would answer. *)
let refused what status_wanted request () =
  let text = answers echo [ request; get "/smuggled" ] in
  string what status_wanted (status text);
  bool (what ^ ": closed") true
    (String.length (String.concat "" (String.split_on_char '[' text)) = String.length text);
  let said_close = List.mem "connection: close" (String.split_on_char '|' (plain text)) in
  bool (what ^ ": says so") true said_close

let post fields body = "POST / HTTP/1.1\r\nHost: a\r\n" ^ fields ^ "\r\n" ^ body
let chunks body = post "Transfer-Encoding: chunked\r\n" body
let field line = get "/" ~fields:(line ^ "\r\n")

let malformed =
  [
    ("a request line without a version", "GET /\r\n\r\n");
    ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n");
    ("a tab for a space", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n");
    ("a space at the end of the request line", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n");
    ("a space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ("no method", "/ HTTP/1.1\r\nHost: a\r\n\r\n");
    ("a method that isn't a token", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n");
    ("an unknown protocol", "GET / HTTX/1.1\r\nHost: a\r\n\r\n");
    ("a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n");
    ("a version of two digits", "GET / HTTP/1.11\r\nHost: a\r\n\r\n");
    ("a version without its second part", "GET / HTTP/1\r\nHost: a\r\n\r\n");
    ("a sign in the version", "GET / HTTP/+1.1\r\nHost: a\r\n\r\n");
    ("a relative target", "GET page HTTP/1.1\r\nHost: a\r\n\r\n");
    ("a fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n");
    ("a control character in the target", "GET /a\001b HTTP/1.1\r\nHost: a\r\n\r\n");
    ("a byte beyond ASCII in the target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n");
    ("an asterisk for another method than OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n");
    ("a target of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n");
    ("a target without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n");
    ("a target with a user", "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n");
    ("LF alone after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n");
    ("LF alone after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n");
    ("LF alone at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n");
    ("LF alone before the request", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ("CR alone in a field", field "X: a\rb");
    ("CR alone before a field", "GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n");
    ("two CRs", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n");
    ("a zero byte in a field", field "X: a\000b");
    ("a control character in a field", field "X: a\001b");
    ("a folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n");
    ("a field that begins folded", "GET / HTTP/1.1\r\n Host: a\r\n\r\n");
    ("a space before the colon", field "X : a");
    ("a tab before the colon", field "X\t: a");
    ("a field without a name", field ": a");
    ("a field without a colon", field "X");
    ("a field name that isn't a token", field "X[]: a");
    ("a byte beyond ASCII in a field name", field "X\xc3: a");
    ("no host", "GET / HTTP/1.1\r\n\r\n");
    ("two hosts", field "Host: a");
    ("two hosts that differ", field "Host: b");
    ("two hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n");
    ("an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n");
    ("a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
    ("a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n");
    ("a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n");
    ("a host with a port that isn't one", "GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n");
    ("a host with an open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n");
    ("a length that isn't one", post "Content-Length: x\r\n" "");
    ("no length in its field", post "Content-Length:\r\n" "");
    ("a negative length", post "Content-Length: -1\r\n" "");
    ("a length with a sign", post "Content-Length: +5\r\n" "hello");
    ("a length in hexadecimal", post "Content-Length: 0x5\r\n" "hello");
    ("a length with a space in it", post "Content-Length: 1 5\r\n" "hello");
    ("a length with a fraction", post "Content-Length: 5.0\r\n" "hello");
    ("a list of lengths", post "Content-Length: 5, 5\r\n" "hello");
    ("a length with underscores", post "Content-Length: 1_0\r\n" "0123456789");
    ("two lengths that are equal", post "Content-Length: 5\r\nContent-Length: 5\r\n" "hello");
    ("two lengths", post "Content-Length: 5\r\nContent-Length: 6\r\n" "hello");
    ("a length and chunks", post "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" "0\r\n\r\n");
    ("chunks and a length", post "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" "0\r\n\r\n");
    ("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    ("chunked twice", post "Transfer-Encoding: chunked, chunked\r\n" "0\r\n\r\n");
    ("chunked in two fields", post "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" "0\r\n\r\n");
    ("chunked, then the identity", post "Transfer-Encoding: chunked, identity\r\n" "0\r\n\r\n");
    ("a coding that isn't the last", post "Transfer-Encoding: chunked, gzip\r\n" "0\r\n\r\n");
    ("an unknown coding", post "Transfer-Encoding: xchunked\r\n" "0\r\n\r\n");
    ("an empty coding", post "Transfer-Encoding:\r\n" "0\r\n\r\n");
    ("a quoted coding", post "Transfer-Encoding: \"chunked\"\r\n" "0\r\n\r\n");
    ("a vertical tab before the coding", post "Transfer-Encoding: \011chunked\r\n" "0\r\n\r\n");
    ("a chunk of no size", chunks "\r\n\r\n");
    ("a chunk's size that isn't one", chunks "g\r\nhello\r\n0\r\n\r\n");
    ("a chunk's size with a sign", chunks "+5\r\nhello\r\n0\r\n\r\n");
    ("a chunk's size with a prefix", chunks "0x5\r\nhello\r\n0\r\n\r\n");
    ("a negative chunk", chunks "-1\r\nhello\r\n0\r\n\r\n");
    ("a space before a chunk's size", chunks " 5\r\nhello\r\n0\r\n\r\n");
    ("a space behind a chunk's size", chunks "5 \r\nhello\r\n0\r\n\r\n");
    ("LF alone behind a chunk's size", chunks "5\nhello\r\n0\r\n\r\n");
    ("LF alone behind a chunk", chunks "5\r\nhello\n0\r\n\r\n");
    ("LF alone in a chunk's extension", chunks "5;\nxx\r\nhello\r\n0\r\n\r\n");
    ("CR alone in a chunk's extension", chunks "5;a\rb\r\nhello\r\n0\r\n\r\n");
    ("a chunk that is longer than its size", chunks "5\r\nhello!\r\n0\r\n\r\n");
    ("a chunk that is shorter than its size", chunks "5\r\nhell\r\n0\r\n\r\n");
    ("a last chunk without its end", chunks "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n");
    ("an extension beyond a line", chunks ("5;" ^ String.make 300 'a' ^ "\r\nhello\r\n0\r\n\r\n"));
    ("a trailer without a colon", chunks "0\r\nX\r\n\r\n");
    ("a folded trailer", chunks "0\r\nX: a\r\n b\r\n\r\n");
  ]
[@@ocamlformat "disable"]

let other_statuses =
  [
    ("HTTP/2", "505", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    ("HTTP/0.9 by its number", "505", "GET / HTTP/0.9\r\nHost: a\r\n\r\n");
    ("CONNECT", "501", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    ("a coding below the chunks", "501", post "Transfer-Encoding: gzip, chunked\r\n" "0\r\n\r\n");
    ("an expectation", "417", get "/" ~fields:"Expect: the-unexpected\r\n");
    ("a length beyond all bounds", "413", post "Content-Length: 99999999999999999999\r\n" "");
    ("a body that is too long", "413", post "Content-Length: 2000000\r\n" "");
    ("a chunk that is too long", "413", chunks "200000\r\n");
    ("a chunk's size beyond all bounds", "413", chunks "ffffffffffffffff\r\n");
    ("a target that is too long", "414", get ("/" ^ String.make 8192 'a'));
    ("a field that is too long", "431", field ("X: " ^ String.make 8192 'a'));
    ("a head that is too long", "431",
      field (String.concat "\r\n" (List.init 4 (fun _ -> "X: " ^ String.make 5000 'a'))));
    ("too many fields", "431", field (String.concat "\r\n" (List.init 100 (fun _ -> "X: a"))));
  ]
[@@ocamlformat "disable"]

let accepted =
  [
    ("small letters and tabs", "GET / HTTP/1.1\r\nhoSt:\ta\t\r\nempty:\r\n\r\n",
     "GET / hoSt=a empty= []");
    ("no space behind the colon", "GET / HTTP/1.1\r\nHost:a\r\n\r\n", "GET / Host=a []");
    ("empty lines before a request", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / Host=a []");
    ("a method of its own", "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "BREW /pot Host=a []");
    ("a later version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "GET / Host=a []");
    ("an absolute target, whose host counts", "GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET /x?y host=b:80 []");
    ("an absolute target without a path", "GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET / host=b []");
    ("an absolute target with a query alone", "GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n",
     "GET /?q host=b []");
    ("an asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * Host=a []");
    ("an address as host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET / Host=[::1]:8080 []");
    ("bytes beyond ASCII in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\r\n\r\n",
     "GET / Host=a X=\xc3\xa4 []");
    ("a body by its length", post "Content-Length: 5\r\n" "hello",
     "POST / Host=a Content-Length=5 [hello]");
    ("a length with zeros before it", post "Content-Length: 005\r\n" "hello",
     "POST / Host=a Content-Length=005 [hello]");
    ("a body of GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
     "GET / Host=a Content-Length=2 [hi]");
    ("chunks", chunks "5\r\nhello\r\n1\r\n \r\n00005;a=\"b\"\r\nworld\r\n0\r\n\r\n",
     "POST / Host=a Transfer-Encoding=chunked [hello world]");
    ("chunks by another spelling", post "Transfer-Encoding: CHUNKED\r\n" "A\r\n0123456789\r\n0\r\n\r\n",
     "POST / Host=a Transfer-Encoding=CHUNKED [0123456789]");
    ("trailers, which are dropped", chunks "2\r\nhi\r\n0\r\nX: y\r\nContent-Length: 7\r\n\r\n",
     "POST / Host=a Transfer-Encoding=chunked [hi]");
    ("no chunks", chunks "0\r\n\r\n", "POST / Host=a Transfer-Encoding=chunked []");
  ]
[@@ocamlformat "disable"]

let body_of text =
  let rec find i = if String.sub text i 4 = "\r\n\r\n" then i + 4 else find (i + 1) in
  let i = find 0 in
  String.sub text i (String.length text - i)

let is_accepted what request wanted () =
  let text = answers echo [ request ] in
  string what "200" (status text);
  string what wanted (body_of text)

(* The same answers wherever the network cuts what is sent. *)
let cut_at cuts text =
  let length = String.length text in
  let places = List.sort_uniq compare (List.map (fun n -> n mod (length + 1)) cuts) in
  let rec go from = function
    | [] -> [ String.sub text from (length - from) ]
    | at :: rest -> String.sub text from (at - from) :: go at rest
  in
  List.filter (fun s -> s <> "") (go 0 places)

let all_requests =
  List.map snd malformed
  @ List.map (fun (_, _, r) -> r) other_statuses
  @ List.map (fun (_, r, _) -> r) accepted

let cuts_dont_matter =
  property ~count:500 "the answers are the same wherever requests are cut"
    QCheck2.Gen.(
      triple
        (list_size (int_range 1 3) (oneofl all_requests))
        (list_size (int_range 0 8) (int_bound 40_000))
        bool)
    (fun (requests, cuts, single) ->
      let text = String.concat "" requests in
      let pieces =
        if single && String.length text < 2000 then
          List.init (String.length text) (fun i -> String.make 1 text.[i])
        else cut_at cuts text
      in
      Soil.run (fun () ->
          Soil.Task.timeout patience (fun () ->
              plain (answers echo [ text ]) = plain (answers echo pieces))))

let noise_is_answered =
  property ~count:300 "whatever comes, a connection ends with responses only"
    QCheck2.Gen.(
      pair (oneofl all_requests)
        (list_size (int_range 1 6) (pair (int_bound 400) (map Char.chr (int_bound 255)))))
    (fun (request, changes) ->
      let b = Bytes.of_string request in
      List.iter (fun (at, c) -> Bytes.set b (at mod Bytes.length b) c) changes;
      let text =
        Soil.run (fun () ->
            Soil.Task.timeout patience (fun () -> answers echo [ Bytes.to_string b ]))
      in
      text = "" || String.starts_with ~prefix:"HTTP/1.1 " text)

let tests =
  List.map (fun (what, r) -> in_run ("refused: " ^ what) (refused what "400" r)) malformed
  @ List.map (fun (what, s, r) -> in_run ("refused: " ^ what) (refused what s r)) other_statuses
  @ List.map
      (fun (what, r, wanted) -> in_run ("taken: " ^ what) (is_accepted what r wanted))
      accepted
  @ [ cuts_dont_matter; noise_is_answered ]
