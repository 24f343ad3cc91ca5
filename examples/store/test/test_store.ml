open Store
module Test = Soil_http.Test
module Status = Soil_grpc.Status
module P = Office_protocol

let string = Alcotest.(check string)
let int = Alcotest.(check int)
let bool = Alcotest.(check bool)

(* No network: each use of the database fails. *)
let in_store f () =
  Soil.Virtual_clock.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  f scope (Database.create scope (Uri.of_string "postgresql://soil@10.0.0.1/store"))

(* The forms of what strangers send *)

let accepts what form list = List.iter (fun value -> bool what true (form value)) list
let refuses what form list = List.iter (fun value -> bool what false (form value)) list

let credentials () =
  let is_valid (name, password) = Result.is_ok (Accounts.credentials ~name ~password) in
  accepts "credentials" is_valid
    [ ("a", "12345678"); (String.make 40 'x', String.make 200 'x'); ("A-b_c.9", "\000\255 456 8") ];
  refuses "credentials" is_valid
    [
      ("", "12345678");
      (String.make 41 'x', "12345678");
      ("a b", "12345678");
      ("a\"", "12345678");
      ("\xc3\xa4", "12345678");
      ("a", "1234567");
      ("a", String.make 201 'x');
    ]

let lines () =
  let line product quantity = { Orders.product; quantity } in
  let is_valid list = Result.is_ok (Orders.lines list) in
  let many n = List.init n (fun product -> line product 1) in
  accepts "lines" is_valid [ many 1; many 20; [ line 1 100; line 2 1 ]; [ line max_int 1 ] ];
  refuses "lines" is_valid
    [ []; many 21; [ line 1 0 ]; [ line 1 (-1) ]; [ line 1 101 ]; [ line 1 1; line 1 2 ] ]

let keys () =
  let is_valid key = Orders.key key <> None in
  accepts "key" is_valid [ "a"; String.make 64 '~' ];
  refuses "key" is_valid [ ""; String.make 65 'a'; "a b"; "a\n"; "\xc3\xa4" ]

(* The proxy's check *)

let health () =
  Soil.Virtual_clock.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let checks = ref 0 and up = ref true in
  let check () =
    incr checks;
    Soil.Clock.sleep 1.;
    !up
  in
  let t = Health.create scope check in
  Test.run (Health.handle t) @@ fun client ->
  let status () = Cohttp.Code.code_of_status (Test.get client "/").status in
  let asked n = List.sort_uniq compare (Soil.Task.map (fun _ -> status ()) (List.init n Fun.id)) in
  Alcotest.(check (list int)) "ready" [ 200 ] (asked 10);
  int "one check for all" 1 !checks;
  up := false;
  Alcotest.(check (list int)) "not ready" [ 503 ] (asked 10);
  int "another check" 2 !checks;
  (* The one who began the check leaves; another has the result. *)
  up := true;
  let begin_ () = ignore (Soil.Task.timeout_opt 0.5 status) in
  let (), second = Soil.Task.both begin_ status in
  int "its result" 200 second;
  int "not begun again" 3 !checks

(* The API *)

let json_fields = [ ("content-type", "application/json") ]

let api f =
  in_store @@ fun scope db ->
  let live = Live.create scope db in
  let keys = Soil_http.Signed.keys [ String.make 32 'k' ] in
  let api = Api.create ~db ~live ~keys ~secure:true ~proxies:[] in
  let app = Soil_http.Router.router (Api.routes api) in
  Test.run ~cookies:true ~error:Soil_http.Server.Error.problem app f

let csrf t =
  let session = Yojson.Safe.from_string (Test.get t "/api/session").body in
  Yojson.Safe.Util.(to_string (member "csrf" session))

let post t ?(fields = []) path body =
  let headers = Cohttp.Header.of_list (fields @ json_fields) in
  Test.request t ~headers ~body:(String body) `POST path

let is_problem what status (response : Test.response) =
  int what status (Cohttp.Code.code_of_status response.status);
  string what "application/problem+json"
    (Option.value (Cohttp.Header.get response.headers "content-type") ~default:"");
  let problem = Yojson.Safe.from_string response.body in
  int what status Yojson.Safe.Util.(to_int (member "status" problem))

let problems =
  api @@ fun t ->
  is_problem "no such page" 404 (Test.get t "/api/none");
  is_problem "no such method" 405 (post t "/api/products" "{}");
  is_problem "no token" 403 (post t "/api/orders" "{}");
  let token = [ ("x-csrf-token", csrf t) ] in
  is_problem "another token" 403 (post t ~fields:[ ("x-csrf-token", "x") ] "/api/orders" "{}");
  is_problem "no account" 401 (post t ~fields:token "/api/orders" "{}");
  let register = post t ~fields:token "/api/accounts" in
  is_problem "not JSON" 400 (register "{");
  is_problem "no password" 400 (register {|{"name":"ann"}|});
  is_problem "not a string" 400 (register {|{"name":1,"password":"12345678"}|});
  is_problem "too short" 400 (register {|{"name":"ann","password":"short"}|});
  is_problem "too large" 413 (register (String.make 8193 ' '));
  is_problem "from another site" 403
    (post t ~fields:(("sec-fetch-site", "cross-site") :: token) "/api/accounts" "{}")

let away =
  api @@ fun t ->
  let response = Test.get t "/api/products" in
  is_problem "products" 503 response;
  string "when to try again" "1"
    (Option.value (Cohttp.Header.get response.headers "retry-after") ~default:"")

let rate =
  api @@ fun t ->
  let fields = [ ("x-csrf-token", csrf t) ] in
  for _ = 1 to 20 do
    is_problem "within the limit" 400 (post t ~fields "/api/session" "{")
  done;
  is_problem "above the limit" 429 (post t ~fields "/api/session" "{")

(* An error of the database isn't the end of a task, whatever its code: it is tried again after a
   second. Other exceptions are mistakes. *)
let errors () =
  Soil.Virtual_clock.run @@ fun () ->
  let refused code = Postgresql.PostgreSQL_Error ("refused", [ ('C', code) ]) in
  let steps = ref [ refused "25006"; refused "28P01"; Database.Unavailable "away"; Exit ] in
  let step () =
    match !steps with
    | e :: rest ->
        steps := rest;
        raise e
    | [] -> ()
  in
  let begun = Soil.Clock.now () in
  (match Database.forever ~name:"test" step with (_ : unit) -> () | exception Exit -> ());
  Alcotest.(check (float 0.01)) "seconds of waiting" 3. (Soil.Clock.now () -. begun)

(* The back office *)

let code f = match f () with _ -> "OK" | exception Status.Failed s -> Status.name s.code

let tokens =
  in_store @@ fun _ db ->
  let app = Soil_grpc.Server.handler (Back_office.rpcs ~token:"secret" db) in
  Test.run ~http2:true app @@ fun t ->
  let call metadata () =
    let http = Test.client t and uri = Uri.of_string "http://localhost" in
    let client = Soil_grpc.Client.create ~metadata http uri in
    Soil_grpc.Client.unary client P.set_stock { id = 1; stock = 1 }
  in
  let with_token token = code (call [ ("authorization", token) ]) in
  string "none" "UNAUTHENTICATED" (code (call []));
  string "another" "UNAUTHENTICATED" (with_token "Bearer secreT");
  string "longer" "UNAUTHENTICATED" (with_token "Bearer secret2");
  string "without its scheme" "UNAUTHENTICATED" (with_token "secret");
  string "the right one, and no database" "UNAVAILABLE" (with_token "Bearer secret")

let round_trip name (m : _ Soil_grpc.Method.t) gen =
  QCheck2.Test.make ~name gen (fun v -> m.response.decode (m.response.encode v) = Ok v)

let any_bytes name (m : _ Soil_grpc.Method.t) =
  let both bytes = (m.request.decode bytes, m.response.decode bytes) in
  QCheck2.Test.make ~name QCheck2.Gen.string (fun bytes -> ignore (both bytes) = ())

let product =
  QCheck2.Gen.(
    let* id = int and* name = string and* price = int and* stock = int in
    return { P.id; name; price; stock })

let order =
  QCheck2.Gen.(
    let* id = int and* account = string and* total = int and* confirmed = bool in
    return { P.id; account; total; confirmed })

(* Numbers of 64 bits whose lower 63 bits are another number's. *)
let large_numbers () =
  let decoded (m : _ Soil_grpc.Method.t) numbers =
    let field b (number, n) = Soil_grpc.Wire.int64 b number n in
    Result.get_ok (m.request.decode (Soil_grpc.Wire.encode (fun b -> List.iter (field b) numbers)))
  in
  let large = Int64.(add max_int 2L) and larger = Int64.max_int in
  let { P.price; stock; _ } = decoded P.add_product [ (2, large); (3, larger) ] in
  int "price" min_int price;
  int "stock" max_int stock;
  let { P.id; stock } = decoded P.set_stock [ (1, large); (2, larger) ] in
  int "number" min_int id;
  int "another stock" max_int stock;
  int "after" max_int (decoded P.list_orders [ (1, larger) ])

let messages () =
  let run test = QCheck2.Test.check_exn test in
  run (round_trip "products" P.add_product product);
  run (round_trip "orders" P.list_orders order);
  run (any_bytes "any bytes, products" P.add_product);
  run (any_bytes "any bytes, stock" P.set_stock);
  run (any_bytes "any bytes, orders" P.list_orders)

let () =
  let case name f = Alcotest.test_case name `Quick f in
  Alcotest.run "store"
    [
      ("forms", [ case "credentials" credentials; case "lines" lines; case "keys" keys ]);
      ("health", [ case "one check at a time" health ]);
      ( "API",
        [
          case "errors are problems" problems;
          case "the database is away" away;
          case "errors of the database" errors;
          case "logins have a rate" rate;
        ] );
      ( "back office",
        [ case "tokens" tokens; case "messages" messages; case "large numbers" large_numbers ] );
    ]
