(* Cookies. *)
open Check
module C = Soil_http.Cookie

let shown request =
  Server.string
    (String.concat "&" (List.map (fun (n, v) -> n ^ "=" ^ v) (C.all request))
    ^ match C.find request "a" with Some v -> "; a is " ^ v | None -> "")

let requests () =
  let ask fields = Test_files.body (answers shown [ get "/" ~fields ]) in
  List.iter
    (fun (fields, wanted) -> string (String.escaped fields) wanted (ask fields))
    [
      ("", "");
      ("Cookie: a=1\r\n", "a=1; a is 1");
      ("Cookie: b=2; a=1;a=3\r\n", "b=2&a=1&a=3; a is 1");
      ("Cookie: b=2\r\nCookie: a=1\r\n", "b=2&a=1; a is 1");
      ("Cookie: a=\r\n", "a=; a is ");
      ("Cookie:   a = x y ;\t;;  c=d=e\r\n", "a=x y&c=d=e; a is x y");
      ("Cookie: a=\"q\"\r\n", "a=\"q\"; a is \"q\"");
      ("Cookie: =1; x; a b=2; \xc3\xa9=3; A=4\r\n", "A=4");
      ("Cookie: a=\xff,%3b\r\n", "a=\xff,%3b; a is \xff,%3b");
    ]

let attributes () =
  let is wanted cookie = string wanted wanted (C.to_string cookie) in
  is "a=b; Path=/; HttpOnly; SameSite=Lax" (C.make ~secure:false "a" "b");
  is "a=; Path=/x; Domain=example.com; Max-Age=2; Secure; SameSite=None"
    (C.make ~path:"/x" ~domain:"example.com" ~max_age:1.5 ~http_only:false ~same_site:`None
       ~secure:true "a" "");
  is "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Strict"
    (C.make ~same_site:`Strict ~secure:true "__Host-a" "1");
  is "__Secure-a=1; Path=/b; Domain=a.b; Secure; HttpOnly; SameSite=Lax"
    (C.make ~path:"/b" ~domain:"a.b" ~secure:true "__Secure-a" "1");
  is "a=; Path=/x; Max-Age=0; HttpOnly; SameSite=Lax" (C.remove ~path:"/x" ~secure:false "a");
  let response =
    Server.string "x"
    |> C.add (C.make ~secure:false "a" "1")
    |> C.add (C.make ~secure:false "b" "2")
  in
  string "two fields"
    ("HTTP/1.1 200 OK|set-cookie: a=1; Path=/; HttpOnly; SameSite=Lax"
   ^ "|set-cookie: b=2; Path=/; HttpOnly; SameSite=Lax|content-length: 1||x")
    (plain (answers (fun _ -> response) [ get "/" ]))

let refusals () =
  let refuses what f = is_invalid what (fun () -> ignore (C.to_string (f ()))) in
  let plain = C.make ~secure:false and secure = C.make ~secure:true in
  List.iter
    (fun name -> refuses ("the name " ^ name) (fun () -> plain name ""))
    [ ""; "a b"; "a="; "a;"; "a\r\n"; "\xc3\xa9" ];
  List.iter
    (fun value -> refuses ("the value " ^ String.escaped value) (fun () -> plain "a" value))
    [ "a b"; "a;b"; "a,b"; "a\"b"; "a\\b"; "a\r\nX: y"; "\127"; "\xc3\xa9"; String.make 4096 'x' ];
  List.iter
    (fun path -> refuses ("the path " ^ path) (fun () -> C.make ~path ~secure:false "a" ""))
    [ ""; "a"; "/;Secure"; "/\r\n"; "/" ^ String.make 1024 'x' ];
  List.iter
    (fun domain -> refuses ("the domain " ^ domain) (fun () -> C.make ~domain ~secure:false "a" ""))
    [ ""; "a;b"; "a b"; "a\n" ];
  List.iter
    (fun max_age -> refuses "an age" (fun () -> C.make ~max_age ~secure:false "a" ""))
    [ -1.; nan; infinity ];
  refuses "SameSite=None" (fun () -> C.make ~same_site:`None ~secure:false "a" "");
  List.iter
    (fun name ->
      refuses name (fun () -> plain name "");
      refuses (name ^ " with a path") (fun () -> C.make ~path:"/a" ~secure:true name "");
      refuses (name ^ " with a domain") (fun () -> C.make ~domain:"a.b" ~secure:true name ""))
    [ "__Host-a"; "__host-a"; "__HOST-" ];
  refuses "__Secure-" (fun () -> plain "__sEcure-a" "");
  ignore (secure "__Secure-a" (String.make 4086 'x'))

let escapes s =
  let e = C.escape s in
  C.unescape e = Some s && C.to_string (C.make ~secure:false "a" e) <> ""

let unescapes s = match C.unescape s with None -> String.contains s '%' | Some _ -> true

(* What a response sets comes back the same. *)
let there_and_back value =
  let cookie = C.to_string (C.make ~secure:false "v" (C.escape value)) in
  let sent = List.hd (String.split_on_char ';' cookie) in
  let seen = ref None in
  let find request =
    seen := Option.bind (C.find request "v") C.unescape;
    Server.string ""
  in
  ignore (answers find [ get "/" ~fields:("Cookie: x=1; " ^ sent ^ "; y=2\r\n") ]);
  !seen = Some value

let gen = QCheck2.Gen.(string_size (int_range 0 40))

let tests =
  [
    in_run "requests" requests;
    in_run "attributes" attributes;
    test "what browsers ignore" refusals;
    property "any value can be escaped" gen escapes;
    property "any value can be unescaped, or not" gen unescapes;
    property_in_run "values there and back" gen there_and_back;
  ]
