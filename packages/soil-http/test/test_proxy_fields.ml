(* The fields that a proxy passes on and adds: their characters, and the clients' addresses. *)
open Check
module Proxy = Soil_http.Proxy
module H = Cohttp.Header

let alphanumeric = function '0' .. '9' | 'a' .. 'z' | 'A' .. 'Z' -> true | _ -> false

(* RFC 9110 §5.6.2 and §5.5. *)
let is_of_names c = alphanumeric c || String.contains "!#$%&'*+-.^_`|~" c
let is_of_values c = c = '\t' || (c >= ' ' && c <> '\127')

(* Each byte in a name and in a value, which the backend gets as they are or not at all. *)
let characters () =
  let fields = ref [] in
  let handler _ request =
    fields := H.to_list (Server.head request).headers;
    Server.string ""
  in
  Test_proxy.with_handler handler [ "http://a" ] @@ fun proxy ->
  let passes (name, value) =
    fields := [];
    let passed = Test_proxy.status_of proxy (get ~fields:(name ^ ": " ^ value ^ "\r\n") "/") in
    bool "got" (passed = "200") (List.mem (name, value) !fields);
    passed = "200"
  in
  for code = 0 to 255 do
    let c = Char.chr code in
    let text = Printf.sprintf "x%cx" c and what = Printf.sprintf "%02x" code in
    (* A colon ends the name. *)
    if c <> ':' then bool ("name " ^ what) (is_of_names c) (passes (text, "v"));
    bool ("value " ^ what) (is_of_values c) (passes ("name", text))
  done

let seen_of_client endpoint request =
  let seen = ref [] in
  let handler _ request =
    seen := [ Test_proxy.line request ];
    Server.string ""
  in
  Test_proxy.with_handler handler [ "http://a" ] @@ fun proxy ->
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  let client _ = Soil.Net.Endpoint.of_string endpoint in
  let ask () =
    D.with_close (Soil.Tcp.connect (Soil.Tcp.local listener)) @@ fun connection ->
    D.write_string connection request;
    D.shutdown connection `Send;
    string "status" "200" (status (D.read_all connection))
  in
  Soil.Task.first [ (fun () -> Server.serve ~client listener (Proxy.handle proxy)); ask ];
  D.close listener;
  !seen

let addresses () =
  let check endpoint ?(before = "") ?(host = "a") address node =
    let first = if before = "" then "" else before ^ ", " in
    let named = if host = "a" then host else "\"" ^ host ^ "\"" in
    let fields = if before = "" then "" else "X-Forwarded-For: " ^ before ^ "\r\n" in
    strings endpoint
      [
        "GET / host=" ^ host ^ " x-forwarded-for=" ^ first ^ address
        ^ " x-forwarded-proto=http x-forwarded-host=" ^ host ^ " forwarded=for=" ^ node ^ ";host="
        ^ named ^ ";proto=http via=1.1 soil []";
      ]
      (seen_of_client endpoint ("GET / HTTP/1.1\r\nHost: " ^ host ^ "\r\n" ^ fields ^ "\r\n"))
  in
  check "192.0.2.1:80" "192.0.2.1" "192.0.2.1";
  check "255.10.9.100:80" ~before:"unknown" ~host:"a:1" "255.10.9.100" "255.10.9.100";
  check "[2001:db8::1]:80" ~before:"10.0.0.1, b" "2001:db8::1" "\"[2001:db8::1]\"";
  check "[::ffff:10.0.0.99]:80" "10.0.0.99" "10.0.0.99"

(* The fields about a client are kept for the next request of its connection. *)
let kept () =
  let last requests = seen_of_client "192.0.2.1:80" (String.concat "" requests) in
  let request ?(version = "1.1") ?(fields = "") host =
    "GET / HTTP/" ^ version ^ "\r\nHost: " ^ host ^ "\r\n" ^ fields ^ "\r\n"
  in
  let a = request "a" and b = request "b" in
  let chain = request "b" ~fields:"Via: 1.1 c\r\n" and old = request "b" ~version:"1.0" in
  strings "the same" (last [ b ]) (last [ b; b ]);
  strings "another host" (last [ b ]) (last [ a; b ]);
  strings "behind another proxy" (last [ chain ]) (last [ b; chain ]);
  strings "after such a request" (last [ b ]) (last [ chain; b ]);
  strings "another version" (last [ old ]) (last [ b; old ])

let invalid what f =
  match f () with _ -> Alcotest.fail (what ^ ": taken") | exception Invalid_argument _ -> ()

(* What the program says gets into no head either, unless it is a field. *)
let own_names () =
  Soil.Task.scope @@ fun scope ->
  let uris = [ Uri.of_string "http://a" ] in
  invalid "name" (fun () -> Proxy.create ~name:"a\r\nb" scope uris);
  invalid "scheme" (fun () -> Proxy.create ~scheme:"http\r\nb: c" scope uris);
  invalid "scheme" (fun () -> Proxy.create ~scheme:"" scope uris);
  let handler _ _ = Alcotest.fail "a backend was asked" in
  Test_proxy.with_handler handler [ "http://a%0d%0ab:c/" ] @@ fun proxy ->
  invalid "host" (fun () -> Test_proxy.asked proxy "GET / HTTP/1.0\r\n\r\n")

(* [fields] replaces and removes the client's own. *)
let given () =
  let seen = ref [] in
  let handler _ request =
    seen := H.to_list (Server.head request).headers;
    Server.string ""
  in
  let request = get ~fields:"A: 1\r\na: 2\r\nB: 3\r\nC: 4\r\n" "/path" in
  let fields_of give =
    seen := [];
    Test_proxy.with_handler ~fields:give handler [ "http://a" ] @@ fun proxy ->
    ignore (Test_proxy.asked proxy request);
    List.filter_map
      (fun (name, value) ->
        if String.length name = 1 then Some (String.lowercase_ascii name ^ "=" ^ value) else None)
      !seen
  in
  strings "none" [ "a=1"; "a=2"; "b=3"; "c=4" ] (fields_of (fun _ -> []));
  strings "given" [ "c=4"; "a=/path"; "d=5" ]
    (fields_of (fun r -> [ ("a", Some (Server.path r)); ("b", None); ("d", Some "5") ]));
  let refused fields =
    invalid "a field" (fun () -> fields_of (fun _ -> fields));
    strings "not asked" [] (List.map fst !seen)
  in
  refused [ ("Content-Length", Some "5") ];
  refused [ ("x-forwarded-for", None) ];
  refused [ ("a", Some "b\r\nc: d") ]

let tests =
  [
    in_run "characters" characters;
    in_run "addresses of clients" addresses;
    in_run "requests of a connection" kept;
    in_run "names of the program" own_names;
    in_run "fields of the program" given;
  ]
