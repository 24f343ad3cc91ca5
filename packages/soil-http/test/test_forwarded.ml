(* Soil_http.Forwarded: who the client is behind proxies, and who can't pretend to be. *)
open Check
module F = Soil_http.Forwarded
module N = Soil.Net

let trusted = List.map N.Prefix.of_string [ "10.0.0.0/8"; "2001:db8:1::/48" ]

let show (o : F.origin) =
  let text = Option.value ~default:"-" in
  let port = match o.port with Some p -> string_of_int p | None -> "-" in
  String.concat " " [ N.Address.to_string o.address; port; text o.scheme; text o.host ]

let origin ?field ?(peer = "10.0.0.1:7") fields =
  let headers = Cohttp.Header.of_list (("host", "own") :: fields) in
  show (F.of_headers (F.by ?field trusted) ~peer:(N.Endpoint.of_string peer) headers)

let is what wanted ?peer fields = string what wanted (origin ?peer fields)
let has what wanted ?peer fields = string what wanted (origin ~field:Forwarded ?peer fields)
let xff value = [ ("x-forwarded-for", value) ]
let forwarded value = [ ("forwarded", value) ]

let x_forwarded () =
  is "no field" "10.0.0.1 7 - own" [];
  is "one proxy" "192.0.2.1 - - own" (xff "192.0.2.1");
  is "not a proxy" "192.0.2.9 7 - own" ~peer:"192.0.2.9:7" (xff "192.0.2.1");
  is "proxies" "192.0.2.1 - - own" (xff "192.0.2.1, 10.0.0.3 ,10.0.0.2");
  is "an invented beginning" "192.0.2.1 - - own" (xff "127.0.0.1, 10.9.9.9, 192.0.2.1, 10.0.0.2");
  is "only proxies" "10.0.0.3 - - own" (xff "10.0.0.3,10.0.0.2");
  is "in two fields" "192.0.2.1 - - own" (xff "8.8.8.8, 192.0.2.1" @ xff "10.0.0.2");
  is "a port" "192.0.2.1 80 - own" (xff "192.0.2.1:80");
  is "a port out of range" "192.0.2.1 - - own" (xff "192.0.2.1:65536");
  is "IPv6" "2001:db8::1 - - own" (xff "2001:db8::1");
  is "IPv6 in brackets" "2001:db8::1 - - own" (xff "[2001:db8::1]");
  is "IPv6 with a port" "2001:db8::1 443 - own" (xff "[2001:db8::1]:443");
  is "IPv6 in quotes" "2001:db8::1 443 - own" (xff "\"[2001:db8::1]:443\"");
  is "an IPv6 proxy" "192.0.2.1 - - own" ~peer:"[2001:db8:1::5]:7" (xff "192.0.2.1");
  is "an IPv4-mapped proxy" "192.0.2.1 - - own" (xff "192.0.2.1, ::ffff:10.0.0.2");
  is "the other field" "10.0.0.1 7 - own" (forwarded "for=192.0.2.1")

let malformed =
  [
    "unknown";
    "_hidden";
    "";
    "x";
    "192.0.2";
    "192.0.2.1.1";
    "[::1";
    "::1]";
    "[]";
    "fe80::1%1";
    "192.0.2.1:80:90";
  ]

(* The last address that is known, of the proxy that added such an element. *)
let x_malformed () =
  List.iter
    (fun text ->
      is text "10.0.0.1 - - own" (xff ("192.0.2.1, " ^ text));
      is text "10.0.0.2 - - own" (xff ("192.0.2.1, " ^ text ^ ", 10.0.0.2"));
      is text "192.0.2.1 - - own" (xff (text ^ ", 192.0.2.1")))
    malformed

let x_others () =
  let all ?(more = []) address proto host =
    xff address @ more @ [ ("x-forwarded-proto", proto); ("x-forwarded-host", host) ]
  in
  is "one value" "192.0.2.1 - https a.test:80" (all "192.0.2.1" "https" "a.test:80");
  is "capitals" "192.0.2.1 - https a.test" (all "192.0.2.1" "HTTPS" "a.test");
  is "of the nearest" "192.0.2.1 - http b.test" (all "192.0.2.1" "https, http" "a.test, b.test");
  is "beside the client" "192.0.2.1 - https a.test"
    (all "8.8.8.8, 192.0.2.1, 10.0.0.2" "http, https, http" "x.test, a.test, b.test");
  is "another scheme" "192.0.2.1 - - own" (all "192.0.2.1" "gopher" "a/b");
  is "not from a proxy" "192.0.2.9 7 - own" ~peer:"192.0.2.9:7" (all "192.0.2.1" "https" "a.test")

let rfc_7239 () =
  has "no field" "10.0.0.1 7 - own" [];
  has "an address" "192.0.2.43 - - own" (forwarded "for=192.0.2.43");
  has "IPv6 and a port" "2001:db8:cafe::17 4711 - own"
    (forwarded "For=\"[2001:db8:cafe::17]:4711\"");
  has "pairs" "192.0.2.60 - https a.test:8080"
    (forwarded "for=192.0.2.60;proto=https;by=203.0.113.43; Host=\"a.test:8080\"");
  has "of the client's element" "192.0.2.43 - https -a"
    (forwarded "for=8.8.8.8;proto=http, for=192.0.2.43;proto=https;host=-a, for=10.0.0.2;proto=http");
  has "in two fields" "192.0.2.43 - - own"
    (forwarded "for=8.8.8.8, for=192.0.2.43" @ forwarded "for=10.0.0.2");
  has "escapes" "192.0.2.43 - - own" (forwarded "for=\"192\\.0.2.43\"");
  has "empty elements" "192.0.2.43 - - own" (forwarded ", for=192.0.2.43,, ");
  has "an obfuscated port" "192.0.2.43 - - own" (forwarded "for=\"192.0.2.43:_abc\"");
  has "the other field" "10.0.0.1 7 - own" (xff "192.0.2.1");
  has "not from a proxy" "192.0.2.9 7 - own" ~peer:"192.0.2.9:7" (forwarded "for=192.0.2.1")

let rfc_7239_malformed () =
  List.iter
    (fun element ->
      has element "10.0.0.1 - - own" (forwarded ("for=192.0.2.1, " ^ element));
      has element "192.0.2.1 - - own" (forwarded (element ^ ", for=192.0.2.1")))
    [
      "for=unknown"; "for=\"_gazonk\""; "by=10.0.0.1"; "for=a;for=192.0.2.1"; "for"; "for="; "=a";
      "for=192.0.2.1;"; "for=192.0.2.1 proto=http"; "for=[::1]"; "for=\"192.0.2.1\"x"; "a b"; "\"";
      "for=\"192.0.2.1"; "for=\"192.0.2.1\\"; "\\\""; "x=\"\\"; "\"a, b\", \"";
    ] [@ocamlformat "disable"]

(* Whatever a client invents, what the proxies add is the end of the list. *)
let nothing_hides_the_client (invented, proxies) =
  let after = List.init proxies (Printf.sprintf ", 10.0.0.%d") in
  let x = origin (xff (String.concat "" ((invented ^ ", 192.0.2.1") :: after))) in
  let after = List.init proxies (Printf.sprintf ", for=\"10.0.0.%d:1\";by=_a") in
  let f =
    origin ~field:Forwarded
      (forwarded (String.concat "" ((invented ^ ", for=\"192.0.2.1\"") :: after)))
  in
  x = "192.0.2.1 - - own" && f = "192.0.2.1 - - own"

let gen_invented =
  let open QCheck2.Gen in
  let piece =
    oneofl
      [
        ",";
        ";";
        "=";
        "\"";
        "\\";
        " ";
        "for=";
        "10.0.0.1";
        "192.0.2.7";
        "[";
        "]";
        "_";
        "proto=x";
        "a";
      ]
  in
  oneof [ map (String.concat "") (list_size (int_bound 12) piece); string_size (int_bound 40) ]

let entry () =
  let proxies = F.by trusted in
  let request fields = Cohttp.Request.make ~headers:(Cohttp.Header.of_list fields) Uri.empty in
  let entry ?request peer =
    let e =
      {
        Server.peer; endpoint = N.Endpoint.of_string_opt peer; request; route = None; id = None; status = `OK; bytes = 0;
        body_bytes = 0; started = 0.; seconds = 0.;
      } [@ocamlformat "disable"]
    in
    let e = F.entry proxies e in
    let common = Soil_http.Access_log.common e in
    (e.peer, List.hd (String.split_on_char ' ' common))
  in
  let pair = Alcotest.(check (pair string string)) in
  let request = request (xff "192.0.2.1") in
  pair "a proxy's" ("192.0.2.1", "192.0.2.1") (entry ~request "10.0.0.1:7");
  pair "a client's" ("192.0.2.9:7", "192.0.2.9") (entry ~request "192.0.2.9:7");
  pair "not parsed" ("10.0.0.1:7", "10.0.0.1") (entry "10.0.0.1:7");
  pair "without an endpoint" ("a pipe", "a_pipe") (entry ~request "a pipe")

let tests =
  [
    test "X-Forwarded-For" x_forwarded;
    test "X-Forwarded-For without an address" x_malformed;
    test "X-Forwarded-Proto and X-Forwarded-Host" x_others;
    test "Forwarded" rfc_7239;
    test "Forwarded without an address" rfc_7239_malformed;
    test "entries of the log" entry;
    property ~count:3000 "nothing hides the client"
      QCheck2.Gen.(pair gen_invented (int_bound 3))
      nothing_hides_the_client;
  ]
