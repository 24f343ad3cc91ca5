(* Credentials of requests. *)
open Check
module A = Soil_http.Auth

let field value = "Authorization: " ^ value ^ "\r\n"

let shown f request =
  Server.string (match f request with Some s -> "<" ^ s ^ ">" | None -> "none")

let body text = List.hd (List.rev (String.split_on_char '|' (plain text)))
let ask f fields = body (answers (shown f) [ get "/" ~fields ])

let basic () =
  let pair request =
    Option.map (fun (user, password) -> user ^ "|" ^ password) (A.basic_credentials request)
  in
  let is wanted fields =
    string (String.escaped fields) wanted
      (ask
         (fun r -> Option.map (fun s -> String.map (function '|' -> '/' | c -> c) s) (pair r))
         fields)
  in
  let encoded s = Base64.encode_string s in
  is "none" "";
  is "<Aladdin/open sesame>" (field "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  is "<a/b:c>" (field ("bAsIc   " ^ encoded "a:b:c"));
  is "</>" (field ("Basic " ^ encoded ":"));
  is "<t\xc3\xa9st/\xc2\xa3>" (field ("Basic " ^ encoded "t\xc3\xa9st:\xc2\xa3"));
  List.iter (is "none")
    [
      field "Basic";
      field "Basic ";
      field ("Basic " ^ encoded "abc");
      field ("Basic " ^ encoded "a:b\000");
      field ("Basic " ^ encoded "a\r\n:b");
      field "Basic YTpi=";
      field "Basic YTpi====";
      field "Basic YT=pi";
      field "Basic =";
      field "Basic YTpiYw";
      field "Basic YTpiYw==, Basic YTpiYw==";
      field "Basic\tYTpi";
      field "Bearer YTpi";
      field "BasicYTpi";
      field "Basic YTpi" ^ field "Basic YTpi";
      "Proxy-Authorization: Basic YTpi\r\n";
    ]

let bearer () =
  let is wanted fields = string (String.escaped fields) wanted (ask A.bearer_token fields) in
  is "<abc-._~+/==>" (field "Bearer abc-._~+/==");
  is "<a>" (field "bearer  a ");
  List.iter (is "none")
    [
      "";
      field "Bearer";
      field "Bearer a b";
      field "Bearer a=b";
      field "Bearer \xff";
      field "Bearer \"a\"";
      field "Basic a";
      field "Bearer a" ^ field "Bearer a";
    ]

let handlers () =
  let check ~user ~password =
    if A.equal user "ann" && A.equal password "secret" then Some 7 else None
  in
  let app = A.basic ~realm:"a \"b\\" ~check (fun n _ -> Server.string (string_of_int n)) in
  let ask app fields = answers app [ get "/" ~fields ] in
  let basic s = field ("Basic " ^ Base64.encode_string s) in
  string "as the check says" "7" (body (ask app (basic "ann:secret")));
  List.iter
    (fun fields -> string (String.escaped fields) "401" (status (ask app fields)))
    [ ""; basic "ann:secre"; basic "ann:secrets"; basic "Ann:secret"; field "Bearer x" ];
  let has text part =
    let n = String.length part in
    let rec find i = i + n <= String.length text && (String.sub text i n = part || find (i + 1)) in
    bool part true (find 0)
  in
  has (ask app "") "www-authenticate: Basic realm=\"a \\\"b\\\\\", charset=\"UTF-8\"\r\n";
  let api =
    A.bearer
      ~check:(fun t -> if A.equal t "t0k" then Some () else None)
      (fun () _ -> Server.string "in")
  in
  string "a token" "in" (body (ask api (field "Bearer t0k")));
  has (ask api (field "Bearer t0")) "www-authenticate: Bearer realm=\"restricted\"\r\n";
  string "a wrong one" "401" (status (ask api (field "Bearer t0")));
  is_invalid "a realm" (fun () ->
      let _ : Server.request -> Server.response =
        A.bearer ~realm:"a\nb" ~check:Option.some (fun _ _ -> Server.string "")
      in
      ())

let total s =
  let answer = answers (shown A.bearer_token) [ get "/" ~fields:(field ("Bearer " ^ s)) ] in
  answer <> ""

let gen = QCheck2.Gen.(string_size ~gen:(char_range ' ' '~') (int_range 0 30))
let equality (a, b) = A.equal a b = (a = b)

let tests =
  [
    in_run "basic" basic;
    in_run "bearer" bearer;
    in_run "handlers" handlers;
    property_in_run "any text" gen total;
    property "equal" QCheck2.Gen.(pair gen gen) equality;
  ]
