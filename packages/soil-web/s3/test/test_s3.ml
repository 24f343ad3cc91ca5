open Check
module H = Cohttp.Header
module Client = Soil_http.Client
module Server = Soil_http.Server

let secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

(* AWS's test suite *)

let suite_time = 1440938160. (* 2015-08-30 12:36:00 *)

let suite_signer =
  Soil_s3.signer ~service:"service" ~region:"us-east-1"
    { access_key = "AKIDEXAMPLE"; secret_key; token = None }

let signature authorization =
  let i = String.length authorization - 64 in
  String.sub authorization i 64

let of_headers headers = signature (Option.get (H.get headers "authorization"))

let case (name, meth, target, headers, body, expected) =
  test name @@ fun () ->
  let headers = H.of_list headers in
  let uri = Uri.of_string ("https://example.amazonaws.com" ^ target) in
  let meth = Cohttp.Code.method_of_string meth in
  let signed = Soil_s3.sign ~now:suite_time ~headers ~payload:(Body body) suite_signer meth uri in
  string "signature" expected (of_headers signed);
  string "date" "20150830T123600Z" (Option.get (H.get signed "x-amz-date"))

(* The examples of S3's documentation: 2013-05-24 *)

let s3_time = 1369353600.

let credentials =
  {
    Soil_s3.access_key = "AKIAIOSFODNN7EXAMPLE";
    secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    token = None;
  }

let signer = Soil_s3.signer ~region:"us-east-1" credentials
let example path = Uri.of_string ("https://examplebucket.s3.amazonaws.com" ^ path)

let s3_sign ?(headers = []) ?payload meth uri =
  Soil_s3.sign ~now:s3_time ~headers:(H.of_list headers) ?payload signer meth uri

let s3_headers () =
  let get = s3_sign ~headers:[ ("Range", "bytes=0-9") ] `GET (example "/test.txt") in
  string "the whole header"
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
     SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
     Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    (Option.get (H.get get "authorization"));
  let headers =
    [ ("Date", "Fri, 24 May 2013 00:00:00 GMT"); ("x-amz-storage-class", "REDUCED_REDUNDANCY") ]
  in
  let put =
    s3_sign ~headers ~payload:(Body "Welcome to Amazon S3.") `PUT (example "/test$file.text")
  in
  string "PUT" "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" (of_headers put);
  string "lifecycle" "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    (of_headers (s3_sign `GET (example "/?lifecycle")));
  string "list" "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    (of_headers (s3_sign `GET (example "/?max-keys=2&prefix=J")))

let s3_url () =
  let uri = Soil_s3.presign ~now:s3_time ~expires:86400 signer `GET (example "/test.txt") in
  string "the whole URI"
    "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    (Uri.to_string uri);
  is_invalid "twice" (fun () -> Soil_s3.presign ~expires:60 signer `GET uri);
  is_invalid "8 days" (fun () -> Soil_s3.presign ~expires:691_200 signer `GET (example "/"));
  is_invalid "0" (fun () -> Soil_s3.presign ~expires:0 signer `GET (example "/"));
  is_invalid "chunks" (fun () ->
      Soil_s3.presign ~payload:(Chunks 1) ~expires:60 signer `PUT (example "/"))

let chunked_headers total =
  let headers = [ ("x-amz-storage-class", "REDUCED_REDUNDANCY") ] in
  let uri = Uri.of_string "https://s3.amazonaws.com/examplebucket/chunkObject.txt" in
  s3_sign ~headers ~payload:(Chunks total) `PUT uri

(* The documentation's request also signs its Content-Length, which Soil's client writes. *)
let seeded =
  "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=x, \
   Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"

let encoded chunks pieces =
  let b = Buffer.create 100 in
  List.iter (fun s -> Soil_s3.write chunks s (Buffer.add_string b)) pieces;
  Buffer.contents b

let s3_chunks () =
  let headers = H.replace (chunked_headers 66560) "authorization" seeded in
  let body = String.make 66560 'a' in
  let chunks = Soil_s3.chunks signer headers in
  int "length" 66824 (Soil_s3.length chunks);
  string "body"
    ("10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
   ^ String.sub body 0 65536
   ^ "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
   ^ String.sub body 0 1024
   ^ "\r\n\
      0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\
      \r\n")
    (encoded chunks [ body ]);
  is_invalid "more" (fun () -> Soil_s3.write chunks "x" ignore);
  is_invalid "other headers" (fun () -> Soil_s3.chunks signer (s3_sign `GET (example "/")));
  is_invalid "small chunks" (fun () -> Soil_s3.chunks ~chunk:8191 signer headers)

let pieces =
  property ~count:60 "a body in pieces is that body in chunks"
    QCheck2.Gen.(list_size (int_bound 8) (int_bound 20_000))
    (fun sizes ->
      let pieces = List.mapi (fun i n -> String.make n (Char.chr (97 + i))) sizes in
      let whole = String.concat "" pieces in
      let headers = chunked_headers (String.length whole) in
      let start () = Soil_s3.chunks ~chunk:8192 signer headers in
      let once = encoded (start ()) [ whole ] in
      let all = start () in
      String.length once = Soil_s3.length all
      && (whole = "" || once = encoded all (List.filter (fun s -> s <> "") pieces)))

(* Forms *)

let keys () =
  let path key = Uri.path_and_query (Soil_s3.uri ~host:"h" key) in
  string "escapes" "/a%20b/%C3%A9%3F%23%25" (path "a b/\xc3\xa9?#%");
  string "nothing" "/" (path "");
  string "a bucket" "/b/k" (Uri.path (Soil_s3.uri ~scheme:"http" ~port:9000 ~bucket:"b" ~host:"h" "k"));
  (* Neither dots nor empty segments are removed from a key. *)
  let s key = of_headers (s3_sign `GET (Soil_s3.uri ~host:"h" key)) in
  bool "dots" true (s "a/../b" <> s "b");
  bool "empty" true (s "a//b" <> s "a/b");
  string "an escape of what needs none" (s "a~b") (of_headers (s3_sign `GET (Uri.of_string "https://h/a%7Eb")))
[@@ocamlformat "disable"]

let headers () =
  let signed_names headers uri =
    let s = Option.get (H.get (s3_sign ~headers `GET uri) "authorization") in
    List.nth (String.split_on_char '=' s) 2 |> String.split_on_char ',' |> List.hd
  in
  string "what the client writes isn't signed" "host;x-amz-content-sha256;x-amz-date;x-y"
    (signed_names [ ("User-Agent", "x"); ("Content-Length", "1"); ("X-Y", "z"); ("Host", "evil") ] (example "/"));
  let s uri = of_headers (s3_sign `GET (Uri.of_string uri)) in
  string "the default port isn't sent" (s "https://h/") (s "https://h:443/");
  bool "another port is" true (s "https://h/" <> s "https://h:444/");
  let with_token = Soil_s3.signer ~region:"r" { credentials with token = Some "t" } in
  bool "token" true (H.get (Soil_s3.sign with_token `GET (example "/")) "x-amz-security-token" = Some "t");
  let unsigned = s3_sign ~payload:Unsigned `PUT (example "/") in
  bool "unsigned" true (H.get unsigned "x-amz-content-sha256" = Some "UNSIGNED-PAYLOAD");
  bool "a digest is its body" true
    (of_headers (s3_sign ~payload:(Sha256 (Soil.Sha256.digest "x")) `PUT (example "/"))
    = of_headers (s3_sign ~payload:(Body "x") `PUT (example "/")))
[@@ocamlformat "disable"]

let refused () =
  let bad ?(access_key = "a") ?(secret = "s") ?token ?(region = "r") ?service what =
    is_invalid what (fun () ->
        Soil_s3.signer ?service ~region { access_key; secret_key = secret; token })
  in
  bad ~access_key:"a\r\nx: y" "an access key with a line";
  bad ~secret:"" "no secret";
  bad ~token:"\n" "a token with a line";
  bad ~region:"a/b" "a region with a slash";
  bad ~service:"" "no service";
  is_invalid "no host" (fun () -> s3_sign `GET (Uri.of_string "/x"));
  is_invalid "time" (fun () -> Soil_s3.sign ~now:1e18 signer `GET (example "/"));
  is_invalid "no time" (fun () -> Soil_s3.sign ~now:nan signer `GET (example "/"));
  is_invalid "a short digest" (fun () -> s3_sign ~payload:(Sha256 "x") `PUT (example "/"));
  is_invalid "a negative length" (fun () -> s3_sign ~payload:(Chunks (-1)) `PUT (example "/"));
  is_invalid "another service" (fun () ->
      Soil_s3.sign ~payload:Unsigned suite_signer `PUT (example "/"))

let dates () =
  let date now = Option.get (H.get (Soil_s3.sign ~now signer `GET (example "/")) "x-amz-date") in
  string "1970" "19700101T000000Z" (date 0.);
  string "a leap day" "20000229T235959Z" (date 951868799.);
  string "the day after" "20000301T000000Z" (date 951868800.);
  string "no leap day" "21000301T000000Z" (date 4107542400.);
  string "the end" "99991231T235959Z" (date 253402300799.)

(* The client sends what was signed. *)

let sent () =
  let seen = ref [] in
  let handler request =
    let head = Server.head request in
    let header = H.get head.headers in
    seen := (head.resource, header "authorization", header "host", Server.body_string request) :: !seen;
    Server.string "ok"
  in
  Soil.Virtual_clock.run @@ fun () ->
  Soil_http.Test.run handler @@ fun t ->
  let client = Soil_http.Test.client t in
  let uri = Uri.with_query' (Soil_s3.uri ~scheme:"http" ~host:"h" ~port:9000 "a b+c") [ ("k", "v+ /") ] in
  let headers = Soil_s3.sign signer ~payload:(Chunks 3) `PUT uri in
  let chunks = Soil_s3.chunks signer headers in
  let write sink = Soil_s3.write chunks "abc" (Soil.File_descriptor.write_string sink) in
  let body = Client.Stream (Some (Soil_s3.length chunks), write) in
  Client.request ~headers ~body client `PUT uri (fun _ _ -> ());
  match !seen with
  | [ (target, authorization, host, body) ] ->
      string "target" "/a%20b%2Bc?k=v%2B%20/" target;
      string "text" ("http://h:9000" ^ target) (Soil_s3.to_string uri);
      bool "authorization" true (authorization = H.get headers "authorization");
      bool "host" true (host = Some "h:9000");
      bool "body" true (String.starts_with ~prefix:"3;chunk-signature=" body)
  | _ -> Alcotest.fail "not one request"
[@@ocamlformat "disable"]

let () =
  Alcotest.run "soil-web.s3"
    [
      ("suite", List.map case Suite.cases);
      ( "documentation",
        [ test "headers" s3_headers; test "a URL" s3_url; test "chunks" s3_chunks; pieces ] );
      ( "forms",
        [
          test "keys" keys;
          test "headers" headers;
          test "dates" dates;
          test "refused arguments" refused;
          test "requests of the client" sent;
        ] );
    ]
