(* JSON bodies. *)
open Check
module J = Soil_http_yojson

let text result =
  match result with Ok json -> "ok " ^ Yojson.Safe.to_string json | Error reason -> reason

let parsing () =
  let is input wanted = string (String.escaped input) wanted (text (J.parse input)) in
  is {| {"a": [1, -2.5e+3, true, null], "é": "\u00e9\ud83d\ude00\n"} |}
    {|ok {"a":[1,-2500.0,true,null],"é":"é😀\n"}|};
  is "0" "ok 0";
  is "-0" "ok 0";
  is "123456789012345678901234567890" "ok 123456789012345678901234567890";
  is {|{"a":1,"a":2}|} {|the name "a" occurs twice in an object|};
  is {|[{"a":{"b":1,"\u0062":2}}]|} {|the name "b" occurs twice in an object|};
  is {|{"a":{"a":1},"b":[{"a":2},{"a":3}]}|} {|ok {"a":{"a":1},"b":[{"a":2},{"a":3}]}|};
  is "" "line 1, byte 1: blank input data";
  is "[1,\n 2 3]" "line 2, byte 4: expected ',' or ']' but found '3]'";
  is "[1,]" "line 1, byte 4: invalid token ']'";
  is "[1" "line 1, byte 2: unexpected end of input";
  is "1 2" "line 1, byte 3: junk after end of JSON value: '2'";
  is "]" "line 1, byte 1: invalid token ']'";
  is "\n\n  {\"a\":01}" "line 3, byte 8: not a number: 01";
  is "[1.]" "line 1, byte 2: not a number: 1.";
  is "-" "line 1, byte 1: not a number: -";
  is "+1" "line 1, byte 1: unknown word: +1";
  is ".5" "line 1, byte 1: unknown word: .5";
  is "1e" "line 1, byte 1: not a number: 1e";
  is "1e+" "line 1, byte 1: not a number: 1e+";
  is "1e999" "line 1, byte 1: a number out of range: 1e999";
  is "0x10" "line 1, byte 1: not a number: 0x10";
  is "NaN" "line 1, byte 1: unknown word: NaN";
  is "-Infinity" "line 1, byte 1: not a number: -Infinity";
  is "{a:1}" "line 1, byte 2: unknown word: a";
  is "[1, /* c */ 2]" "line 1, byte 5: unexpected character '/'";
  is "(1,2)" "line 1, byte 1: unexpected character '('";
  is "<\"a\">" "line 1, byte 1: unexpected character '<'";
  is "'a'" {|line 1, byte 1: unexpected character '\''|};
  is "\"a\nb\"" "line 1, byte 3: a control character in a string";
  is "\"ab" "line 1, byte 4: the end in a string";
  is "\"ab\\" "line 1, byte 5: the end in a string";
  is {|"\x"|} "line 1, byte 3: invalid escape sequence 'x\"'";
  is {|"\u12"|} "line 1, byte 4: an escape without four hexadecimal digits";
  is {|"\ud800"|} "line 1, byte 2: half of a surrogate pair";
  is {|"\udc00x"|} "line 1, byte 2: half of a surrogate pair";
  is {|"\ud800\u0041"|} "line 1, byte 2: half of a surrogate pair";
  is "[\"\xff\"]" "line 1, byte 3: not UTF-8"

let depth () =
  let nested n = String.make n '[' ^ String.make n ']' in
  bool "100" true (Result.is_ok (J.parse (nested 100)));
  string "101" "line 1, byte 101: nested more than 100 deep" (text (J.parse (nested 101)));
  string "a bound" "line 1, byte 2: nested more than 1 deep" (text (J.parse ~max_depth:1 "[{}]"));
  string "side by side" "ok [[],{}]" (text (J.parse ~max_depth:2 "[[],{}]"));
  string "in a string" {|ok "[[["|} (text (J.parse ~max_depth:0 {|"[[["|}));
  string "a million" "line 1, byte 101: nested more than 100 deep"
    (text (J.parse (String.make 1_000_000 '[')))

let values () =
  let zeros n = "[" ^ String.concat "," (List.init n (fun _ -> "0")) ^ "]" in
  let refused n = Printf.sprintf "more than %d values (max_values)" n in
  bool "100,000" true (Result.is_ok (J.parse (zeros 99_999)));
  string "one more" ("line 1, byte 200000: " ^ refused 100_000) (text (J.parse (zeros 100_000)));
  let arrays = "[" ^ String.concat "," (List.init 349_520 (fun _ -> "[]")) ^ "]" in
  string "arrays" ("line 1, byte 299999: " ^ refused 100_000) (text (J.parse arrays));
  let parse n = text (J.parse ~max_values:n {|{"a":[1,"b",null]}|}) in
  string "each name and each value" {|ok {"a":[1,"b",null]}|} (parse 6);
  string "a bound" ("line 1, byte 13: " ^ refused 5) (parse 5);
  string "in a string" {|ok "[0,0,0"|} (text (J.parse ~max_values:1 {|"[0,0,0"|}));
  string "digits" "line 1, byte 2: a word or a number of more than 1000 characters"
    (text (J.parse ("[" ^ String.make 1001 '1' ^ "]")));
  string "lines" "line 3, byte 2: unexpected character '('" (text (J.parse "[\n1,\n (\n]"))

let post content_type body =
  Printf.sprintf "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
    content_type (String.length body) body

let decode json =
  let open Yojson.Safe.Util in
  let n = to_int (member "n" json) in
  if n < 0 then raise (J.Invalid "n: less than 0");
  n

let app =
  J.handle ~max:100 ~max_depth:3 decode @@ fun request n ->
  J.response ~status:`Created
    (`Assoc [ ("n", `Int (n + 1)); ("path", `String (Server.path request)) ])

let requests () =
  let ask ?(content_type = "application/json") body =
    plain (answers app [ post content_type body ])
  in
  let created =
    {|HTTP/1.1 201 Created|content-type: application/json|content-length: 18||{"n":2,"path":"/"}|}
  in
  string "a value" created (ask {|{"n":1}|});
  string "with parameters" created (ask ~content_type:"Application/JSON; charset=utf-8" {|{"n":1}|});
  string "a type of its own" created (ask ~content_type:"application/x.y+json" {|{"n":1}|});
  let refused status detail answer =
    let body = Printf.sprintf {|"status":%s,"detail":%S}|} status detail in
    string detail (status ^ " true")
      (Check.status answer ^ " " ^ string_of_bool (String.ends_with ~suffix:body answer))
  in
  refused "400" "line 2, byte 3: not a number: 1." (ask "[\n  1.]");
  refused "400" "line 1, byte 4: nested more than 3 deep" (ask "[[[[]]]]");
  string "a limit of the values" "400"
    (status
       (answers
          (J.handle ~max_values:2 decode (fun _ _ -> Server.string ""))
          [ post "application/json" "[1,2]" ]));
  refused "400" {|the name "n" occurs twice in an object|} (ask {|{"n":1,"n":2}|});
  refused "400" "n: less than 0" (ask {|{"n":-1}|});
  refused "400" "Expected int, got string" (ask {|{"n":"1"}|});
  refused "400" "Expected int, got null" (ask "{}");
  refused "415" "the body's type isn't application/json" (ask ~content_type:"text/plain" "{}");
  string "too long" "413" (status (ask (String.make 101 ' ')));
  string "the type of problems"
    "HTTP/1.1 400 Bad Request|content-type: application/problem+json|content-length: 87||"
    (let answer = ask "[" in
     String.sub answer 0 (String.index answer '{'));
  is_invalid "not finite" (fun () -> ignore (J.response (`List [ `Float nan ])))

(* How many turns another task has at least in [times] runs while [f] reads the body of a POST. *)
let turns_of ~times f body =
  let turns = ref 0 and spent = ref 0 in
  let rec count () =
    incr turns;
    Soil.Task.yield ();
    count ()
  in
  let handler request =
    let before = !turns in
    f request;
    spent := !turns - before;
    Server.string ""
  in
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn_daemon scope count);
  let turns _ =
    string "status" "200" (status (answers handler [ post "application/json" body ]));
    !spent
  in
  (* Waits for the body only add turns. *)
  List.fold_left min max_int (List.init times turns)

let yields () =
  let rec check ?(times = 3) ?(values = 0) what body =
    let received = turns_of ~times (fun r -> ignore (Server.body_string r)) body in
    let parsed = turns_of ~times (fun r -> bool what true (Result.is_ok (J.read Fun.id r))) body in
    (* Two scans of the text, Yojson's, and one of the values. *)
    let expected = (3 * (String.length body / 4096)) + (values / 256) in
    if parsed < received + (expected / 2) then
      (* All runs may have waited, on a loaded machine. *)
      if times < 50 then check ~times:(4 * times) ~values what body
      else Alcotest.failf "%s: %d turns, %d without parsing" what parsed received
  in
  check "numbers" ~values:99_000 ("[" ^ String.concat "," (List.init 99_000 (fun _ -> "0")) ^ "]");
  check "a string" ("\"" ^ String.make 500_000 'x' ^ "\"");
  check "white space" (String.make 500_000 ' ' ^ "0")

(* Values count for longer than they are parsed. *)
let budget () =
  let ask n =
    let zeros = "[" ^ String.concat "," (List.init n (fun _ -> "0")) ^ "]" in
    let answer = J.handle Fun.id (fun _ _ -> Server.string "") in
    with_budget 1_000_000 (fun () -> status (answers answer [ post "application/json" zeros ]))
  in
  string "few" "200" (ask 1000);
  string "many" "503" (ask 50_000);
  string "returned" "200" (ask 1000)

let gen =
  let open QCheck2.Gen in
  let text =
    map
      (fun l -> String.concat "" l)
      (list_size (int_range 0 5)
         (oneofl [ "a"; "\""; "\\"; "\n"; "\xc3\xa9"; "\000"; "\xf0\x9f\x98\x80"; "["; "/" ]))
  in
  let leaf : Yojson.Safe.t t =
    oneof
      [
        pure `Null;
        map (fun b -> `Bool b) bool;
        map (fun i -> `Int i) int;
        map (fun f -> `Float f) (float_range (-1e30) 1e30);
        map (fun s -> `String s) text;
      ]
  in
  let rec value n : Yojson.Safe.t t =
    if n = 0 then leaf
    else
      oneof
        [
          leaf;
          map (fun l -> `List l) (list_size (int_range 0 4) (value (n - 1)));
          map
            (fun l -> `Assoc (List.sort_uniq (fun (a, _) (b, _) -> String.compare a b) l))
            (list_size (int_range 0 4) (pair text (value (n - 1))));
        ]
  in
  value 3

(* Any text: an answer, and one of UTF-8. *)
let is_total s = match J.parse s with Ok _ -> true | Error e -> e <> ""

let gen_text =
  QCheck2.Gen.(
    map (String.concat "")
      (list_size (int_range 0 12)
         (oneofl
            [
              "{";
              "}";
              "[";
              "]";
              ",";
              ":";
              "\"";
              "\\";
              "\\u12";
              "1";
              "-";
              ".";
              "e";
              "true";
              " ";
              "\n";
              "\xff";
              "/";
              "(";
            ])))

let () =
  Alcotest.run "soil-http.yojson"
    [
      ( "json",
        [
          test "text" parsing;
          test "depth" depth;
          test "values" values;
          in_run "other tasks run meanwhile" yields;
          in_run "the budget" budget;
          in_run "requests" requests;
          property "there and back" gen (fun json -> J.parse (Yojson.Safe.to_string json) = Ok json);
          property ~count:2000 "any text" gen_text is_total;
        ] );
    ]
