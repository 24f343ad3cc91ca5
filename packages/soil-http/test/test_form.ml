(* Forms, and the parts of multipart bodies. *)
open Check
module F = Soil_http.Form
module M = Soil_http.Multipart
module Media = Soil_http.Media_type

let types () =
  let is text wanted =
    let shown =
      match Media.of_string text with
      | None -> "none"
      | Some t ->
          String.concat ";" (t.name :: List.map (fun (n, v) -> n ^ "=" ^ v) t.parameters)
    in
    string text wanted shown
  in
  is "text/html" "text/html";
  is "Text/HTML ; CharSet=utf-8;a=\"b;\\\"c\\\\\"" "text/html;charset=utf-8;a=b;\"c\\";
  is "a/b; c=\"C:\\d\"; " "a/b;c=C:\\d";
  is "a/b;;c=1" "a/b;c=1";
  is "a/b; boundary=-XrQ_qh/dc2.9O" "a/b;boundary=-XrQ_qh/dc2.9O";
  is "a/b; Boundary=a=(b):c,d?; e=f" "a/b;boundary=a=(b):c,d?;e=f";
  List.iter
    (fun text -> is text "none")
    [
      ""; "a"; "a/"; "/b"; "a/b/c"; "a b/c"; "a/b; c"; "a/b; c="; "a/b; c=\"d"; "a/b; c=d e";
      "a/b; c=1; C=2"; "a/b c=1"; "a/b; c=d/e";
      "a/b; boundary=a b"; "a/b; boundary=a\"b"; "a/b; boundary=a@b"; "a/b; boundary="; "a/b; =1";
    ]
[@@ocamlformat "disable"]

let shown form = String.concat "&" (List.map (fun (n, v) -> Printf.sprintf "%S=%S" n v) form)
let of_text text = match F.decode text with Some form -> shown form | None -> "none"

let encoded () =
  List.iter
    (fun (text, wanted) -> string text wanted (of_text text))
    [
      ("", "");
      ("a=1", {|"a"="1"|});
      ("a=1&b=2&a=3", {|"a"="1"&"b"="2"&"a"="3"|});
      ("&&a&=b&c==d&", {|"a"=""&""="b"&"c"="=d"|});
      ("a+b=%2B%26+%3d", {|"a b"="+& ="|});
      ("%c3%A9=x", {|"\195\169"="x"|});
      ("a=%", "none");
      ("a=%4", "none");
      ("a=%4x", "none");
      ("%zz=1", "none");
      ("a=%ff", "none");
      ("\xff=1", "none");
    ];
  string "encoded" "a+b=%26%3D%2B&%C3%A9=*-._%7E"
    (F.encode [ ("a b", "&=+"); ("\xc3\xa9", "*-._~") ])

let post ?(fields = "") content_type body =
  Printf.sprintf "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s"
    content_type fields (String.length body) body

let answer ?max ?max_fields ?max_field ?file content_type body =
  let handler request = Server.string (shown (F.read ?max ?max_fields ?max_field ?file request)) in
  let text = answers handler [ post content_type body ] in
  status text ^ if status text = "200" then " " ^ Test_files.body text else ""

let urlencoded = "application/x-www-form-urlencoded"

let of_requests () =
  let is wanted text = string wanted wanted text in
  is {|200 "a"="1"|} (answer urlencoded "a=1");
  is {|200 "a"="1"|} (answer "Application/X-WWW-Form-urlencoded;charset=UTF-8" "a=1");
  is "200 " (answer urlencoded "");
  is "400" (answer urlencoded "a=%x");
  is "415" (answer "application/x-www-form-urlencoded; charset=latin1" "a=1");
  is "415" (answer "text/plain" "a=1");
  is "415" (answer "multipart/mixed; boundary=b" "a=1");
  is "400" (answer "multipart/form-data" "a=1");
  is "400" (answer "multipart/form-data; boundary=\"\"" "a=1");
  is "400" (answer "multipart/form-data; boundary=\"b \"" "--b --");
  is "413" (answer ~max:3 urlencoded "a=12");
  is {|200 "a"=""&"b"=""|} (answer ~max_fields:2 urlencoded "a&b");
  is "413" (answer ~max_fields:2 urlencoded "a&b&c");
  is {|200 "a"="12"|} (answer ~max_field:2 urlencoded "a=12");
  is "413" (answer ~max_field:2 urlencoded "a=123");
  is "413" (answer ~max_field:2 urlencoded "abc=1");
  is {|200 "\195\169"="+"|} (answer ~max_field:2 urlencoded "%C3%A9=%2b");
  is "413" (answer ~max_field:2 urlencoded "%C3%A9=%2b%2b%2b")

let multipart = "multipart/form-data; boundary=b"

let part ?(fields = "") disposition contents =
  "--b\r\nContent-Disposition: " ^ disposition ^ "\r\n" ^ fields ^ "\r\n" ^ contents ^ "\r\n"

let field ?fields name contents = part ?fields ("form-data; name=\"" ^ name ^ "\"") contents

let file_part ?fields name filename contents =
  part ?fields (Printf.sprintf "form-data; name=\"%s\"; filename=\"%s\"" name filename) contents

let of_parts () =
  let is what wanted text = string what wanted text in
  let files = ref [] in
  let file (p : M.part) contents =
    let kind = match p.content_type with Some t -> t.name | None -> "none" in
    let name = Option.get p.filename in
    files := Printf.sprintf "%s %S %s %S" p.name name kind (D.read_all contents) :: !files
  in
  let body =
    field "a" "1"
    ^ file_part "f" "C:\\x\\../y.txt" ~fields:"Content-Type: text/plain\r\n" "one\r\n--c\ntwo\r\n--"
    ^ field "a" "" ^ file_part "none" "" "" ^ field "a\\\"\\\\b%22" "\r\n\r" ^ file_part "g" "" ""
    ^ "--b--\r\n"
  in
  is "all parts" {|200 "a"="1"&"a"=""&"a\"\\b%22"="\r\n\r"|} (answer ~file multipart body);
  strings "files" [ {|f "y.txt" text/plain "one\r\n--c\ntwo\r\n--"|} ] !files;
  is "a boundary without quotes" {|200 "a"="1"|}
    (answer "multipart/form-data; boundary=b/c="
       "--b/c=\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b/c=--");
  is "no parts" "200 " (answer multipart "--b--");
  is "a file where none may be" "400" (answer multipart (file_part "f" "x" "" ^ "--b--"));
  is "contents in a file without a name" "400"
    (answer ~file multipart (file_part "f" "" "x" ^ "--b--"));
  is "long contents in a file without a name" "400"
    (answer ~file ~max_field:9 multipart (file_part "f" "" "0123456789" ^ "--b--"));
  is "not UTF-8" "400" (answer multipart (field "f" "\xff" ^ "--b--"));
  let two = field "a" "12" ^ field "b" "" ^ "--b--" in
  is "two fields" {|200 "a"="12"&"b"=""|} (answer ~max_fields:2 ~max_field:2 multipart two);
  is "one too many" "413" (answer ~max_fields:1 multipart two);
  is "a long one" "413" (answer ~max_field:1 multipart two);
  is "a long body" "413" (answer ~max:(String.length two - 1) multipart two);
  (* A file has no limit but the body's, and what isn't read is skipped. *)
  let long = file_part "f" "x" (String.make 200_000 '\r') ^ field "a" "1" ^ "--b--" in
  is "a file that isn't read" {|200 "a"="1"|}
    (answer ~max_field:9 ~file:(fun _ _ -> ()) multipart long)

let hostile () =
  let bad what body = string what "400" (answer ~file:(fun _ _ -> ()) multipart body) in
  let ok = field "a" "1" in
  bad "nothing" "";
  bad "a preamble" ("x\r\n" ^ ok ^ "--b--");
  bad "an empty line first" ("\r\n" ^ ok ^ "--b--");
  bad "an epilogue" (ok ^ "--b--\r\nx");
  bad "an epilogue without a line" (ok ^ "--b--x");
  bad "two empty lines last" (ok ^ "--b--\r\n\r\n");
  bad "no end" ok;
  bad "an end cut short" (ok ^ "--b-");
  bad "half a delimiter" (ok ^ "--");
  bad "another boundary" (field "a" "1" ^ "--c--");
  bad "padding" "--b \r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--";
  bad "LF alone" "--b\nContent-Disposition: form-data; name=a\n\n1\n--b--\n";
  bad "LF alone in a head" "--b\r\nContent-Disposition: form-data; name=a\n\r\n1\r\n--b--";
  bad "CR alone in a head" "--b\r\nContent-Disposition: form-data; name=a\rX: y\r\n\r\n1\r\n--b--";
  bad "a longer boundary" "--bb\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--bb--";
  bad "no head" "--b\r\n\r\n1\r\n--b--";
  bad "no name" (part "form-data" "" ^ "--b--");
  bad "another disposition" (part "attachment; name=a" "" ^ "--b--");
  bad "two names" (part "form-data; name=a; name=b" "" ^ "--b--");
  bad "33 parameters"
    (part ("form-data; name=a" ^ String.concat "" (List.init 32 (Printf.sprintf "; p%d=1"))) ""
    ^ "--b--");
  bad "a file called .." (file_part "f" ".." "x" ^ "--b--");
  bad "two names with case" (part "form-data; name=a; NAME=b" "" ^ "--b--");
  bad "an open quote" (part "form-data; name=\"a" "" ^ "--b--");
  bad "two dispositions"
    (field "a" "" ~fields:"content-disposition: form-data; name=b\r\n" ^ "--b--");
  bad "two types" (field "a" "" ~fields:"Content-Type: a/b\r\nContent-Type: a/c\r\n" ^ "--b--");
  bad "not a type" (field "a" "" ~fields:"Content-Type: x\r\n" ^ "--b--");
  bad "an encoding" (field "a" "" ~fields:"Content-Transfer-Encoding: base64\r\n" ^ "--b--");
  bad "a folded field" (field "a" "" ~fields:"X: y\r\n z\r\n" ^ "--b--");
  bad "a space before a colon" (field "a" "" ~fields:"X : y\r\n" ^ "--b--");
  bad "a control character" (field "a" "" ~fields:"X: \000\r\n" ^ "--b--");
  bad "a name with a tab" (field "a\tb" "" ^ "--b--");
  bad "a name that isn't UTF-8" (field "\xff" "" ^ "--b--");
  bad "a file's name that isn't UTF-8" (file_part "a" "\xff" "" ^ "--b--");
  let large what body = string what "413" (answer multipart body) in
  large "a long head" (field "a" "" ~fields:("X: " ^ String.make 4096 'x' ^ "\r\n") ^ "--b--");
  large "a head without an end" ("--b\r\n" ^ String.make 40_000 'x');
  large "many fields in a head"
    (field "a" "" ~fields:(String.concat "" (List.init 2000 (fun _ -> "X:\r\n"))) ^ "--b--");
  is_invalid "a boundary" (fun () -> M.parse ~boundary:"" (Soil.Flow.of_string "") (fun _ _ -> ()));
  is_invalid "a long boundary" (fun () ->
      M.parse ~boundary:(String.make 71 'b') (Soil.Flow.of_string "") (fun _ _ -> ()))

(* A form of many fields isn't decoded in one turn: by what is allocated between two turns of another
   task, of all that its decoding allocates. *)
let yields () =
  let last = ref 0. and most = ref 0. in
  let note () =
    let now = Gc.minor_words () in
    most := Float.max !most (now -. !last);
    last := now
  in
  let rec count () =
    note ();
    Soil.Task.yield ();
    count ()
  in
  let body =
    String.concat "&" (List.init 10_000 (fun _ -> "name=%41%42%43%44%45%46%47%48%49%50"))
  in
  let before = Gc.minor_words () in
  ignore (Sys.opaque_identity (F.decode body));
  let all = Gc.minor_words () -. before in
  let handler request =
    last := Gc.minor_words ();
    most := 0.;
    ignore (F.read ~max_fields:10_000 request);
    note ();
    Server.string ""
  in
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn_daemon scope count);
  string "status" "200" (status (answers handler [ post urlencoded body ]));
  bool (Printf.sprintf "%.0f words in a turn, of %.0f" !most all) true (!most < all /. 4.)

(* Fields count until the response was sent. *)
let budget () =
  let form n =
    String.concat "&" (List.init n (fun i -> Printf.sprintf "f%d=%s" i (String.make 60_000 'x')))
  in
  let parts n =
    String.concat "" (List.init n (fun i -> field (string_of_int i) (String.make 60_000 'x')))
    ^ "--b--"
  in
  let ask what n content_type body =
    with_budget 900_000 (fun () ->
        let text =
          answers
            (fun r -> Server.string (string_of_int (List.length (F.read r))))
            [ post content_type body ]
        in
        string what n (status text))
  in
  ask "few" "200" urlencoded (form 2);
  ask "many" "503" urlencoded (form 10);
  ask "few parts" "200" multipart (parts 2);
  ask "many parts" "503" multipart (parts 16)

(* A part's flow ends with its function. *)
let flows () =
  let kept = ref [] in
  let body = field "a" "12345" ^ field "b" "6" ^ "--b--" in
  M.parse ~boundary:"b" (Soil.Flow.of_string body) (fun p contents ->
      let b = Bytes.create 3 in
      string "the first bytes"
        (if p.name = "a" then "123" else "6")
        (Bytes.sub_string b 0 (D.read contents b 0 3));
      List.iter (fun old -> fails_with_closed (fun () -> ignore (D.read_all old))) !kept;
      kept := contents :: !kept);
  int "parts" 2 (List.length !kept)

let gen_text =
  QCheck2.Gen.(
    map (String.concat "")
      (list_size (int_range 0 8)
         (oneofl
            [ "\r"; "\n"; "-"; "--b"; "\r\n--"; "\r\n--bx"; "x"; "--"; "\xc3\xa9"; "&"; "="; "%" ])))

(* Pieces of any length, small buffers or large files: the parts come as they were sent. *)
let parts_there_and_back (fields, pieces) =
  let boundary = "boundary-of-the-test" in
  let part (name, value) =
    Printf.sprintf "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n" boundary name
      value
  in
  let input = String.concat "" (List.map part fields) ^ "--" ^ boundary ^ "--\r\n" in
  let pieces = Array.of_list pieces and at = ref 0 and turn = ref 0 in
  let read b off len =
    let n = min (min len pieces.(!turn mod Array.length pieces)) (String.length input - !at) in
    Bytes.blit_string input !at b off n;
    at := !at + n;
    incr turn;
    n
  in
  let got = ref [] in
  M.parse ~boundary (Soil.Flow.source read) (fun p contents ->
      got := (p.name, D.read_all contents) :: !got);
  List.rev !got = fields

let gen_parts =
  let open QCheck2.Gen in
  let near_boundary =
    oneofl [ "\r\n--boundary-of-the-tes"; "\r\n--boundary"; "\r\n-"; "\r\r\n--bounda" ]
  in
  let long = map (fun n -> String.make n 'x' ^ "\r") (int_range 16_300 16_420) in
  let value =
    map (String.concat "") (list_size (int_range 0 4) (oneof [ gen_text; near_boundary; long ]))
  in
  pair
    (list_size (int_range 0 4) (pair (string_size ~gen:(char_range 'a' 'z') (int_range 1 5)) value))
    (list_size (int_range 1 4) (oneof [ int_range 1 5; int_range 1 20_000 ]))

(* Each body without its last byte, or with one replaced, is refused or has the same parts up to
   there: it never hangs, and raises nothing else. *)
let damaged (fields, at, byte) =
  let part (name, value) = field name value in
  let body = String.concat "" (List.map part fields) ^ "--b--" in
  let b = Bytes.of_string body in
  Bytes.set b (at mod Bytes.length b) byte;
  let read body =
    match M.parse ~boundary:"b" (Soil.Flow.of_string body) (fun _ c -> ignore (D.read_all c)) with
    | () -> true
    | exception Server.Refused (`Bad_request | `Request_entity_too_large) -> true
  in
  read (Bytes.to_string b)
  &&
  match
    M.parse ~boundary:"b"
      (Soil.Flow.of_string (String.sub body 0 (at mod String.length body)))
      (fun _ _ -> ())
  with
  | () -> false
  | exception Server.Refused `Bad_request -> true

let gen_damage =
  let open QCheck2.Gen in
  triple (list_size (int_range 0 3) (pair (oneofl [ "a"; "bc" ]) gen_text)) (int_range 0 500) char

let gen_form = QCheck2.Gen.(list_size (int_range 0 6) (pair gen_text gen_text))

let tests =
  [
    test "media types" types;
    test "encoded text" encoded;
    in_run "requests" of_requests;
    in_run "parts" of_parts;
    in_run "hostile bodies" hostile;
    in_run "flows of parts" flows;
    in_run "other tasks run meanwhile" yields;
    in_run "the budget" budget;
    property "forms there and back" gen_form (fun form -> F.decode (F.encode form) = Some form);
    property_in_run "parts there and back" gen_parts parts_there_and_back;
    property_in_run ~count:1000 "damaged bodies" gen_damage damaged;
  ]
