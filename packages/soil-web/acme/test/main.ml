module Acme = Soil_acme
module Server = Soil_http.Server
module Tls = Soil_tls

let check = Alcotest.check
let day = 86400.

(* A world: the CA, machines that share an address, and the CA's connections to one of them. *)
type world = { ca : Ca.t; scope : Soil.Task.scope; mutable machine : Acme.t option }

let serve scope handler d =
  ignore
    (Soil.Task.spawn_daemon scope (fun () ->
         try Server.connection ~on_error:ignore d handler with Soil.Error.Error _ -> ()))

let app _ = Server.status `Not_found

(* A connection to port 80 or 443 of the machine that the load balancer has chosen. *)
let reach world port =
  let machine = Option.get world.machine in
  let a, b = Soil.Flow.pair () in
  (if port = 80 then serve world.scope (Acme.http machine app) b
   else
     let config = Tls.server_config (Acme.certificates machine) in
     ignore
       (Soil.Task.spawn_daemon world.scope (fun () ->
            try Soil.File_descriptor.close (Acme.tls machine config b)
            with Soil.Error.Error _ -> Soil.File_descriptor.close b)));
  (a :> Ca.flow)

let in_world f =
  Soil.Virtual_clock.run ~now:1_790_000_000. ~io_seconds:0.0005 @@ fun () ->
  Soil_mirage_crypto_rng.use_default ();
  Soil.Task.scope @@ fun scope ->
  let rec world =
    lazy { ca = Ca.create (fun port -> reach (Lazy.force world) port); scope; machine = None }
  in
  f (Lazy.force world);
  Soil.Task.cancel_scope scope

let names = [ "a.example"; "b.example" ]

let machine ?external_account ?(names = names) ?(challenge = Acme.Http_01) ?(reports = ref []) world
    store =
  let connect ~host:_ ~port:_ =
    let a, b = Soil.Flow.pair () in
    serve world.scope (Ca.handler world.ca) b;
    a
  in
  let client = Soil_http.Client.create ~connect ~max_redirects:0 () in
  let report s = reports := s :: !reports in
  let acme =
    Acme.create ?external_account ~report ~client ~store ~terms_agreed:true
      ~challenges:[ challenge ]
      (Uri.of_string (Ca.base ^ "/directory"))
      names
  in
  world.machine <- Some acme;
  acme

let start world acme = Soil.Task.spawn_daemon world.scope (fun () -> ignore (Acme.run acme))
let wait = Soil.Clock.sleep
let end_of acme = (Acme.status acme).valid_until
let has acme = end_of acme <> None
let is what expected got = check Alcotest.bool what expected got
let same what expected got = check Alcotest.int what expected got

(* The last value of the metric for a name. *)
let metric name =
  let _, page = Soil_metrics.page () in
  let prefix = Printf.sprintf "acme_certificate_valid_until_seconds{name=%S} " name in
  let value line =
    if String.starts_with ~prefix line then
      let n = String.length prefix in
      Some (float_of_string (String.sub line n (String.length line - n)))
    else None
  in
  List.find_map value (String.split_on_char '\n' page)

let failure acme = Option.value (Acme.status acme).last_failure ~default:"none"

let mentions what parts text =
  List.iter (fun part -> is (what ^ ": " ^ part ^ " in " ^ text) true (Ca.contains text part)) parts

(* Issuance *)

let issues challenge () =
  in_world @@ fun world ->
  let acme = machine ~challenge world (Acme.Store.memory ()) in
  is "before" false (has acme);
  ignore (start world acme);
  wait 60.;
  check Alcotest.string "failure" "none" (failure acme);
  is "after" true (has acme);
  same "orders" 1 (Ca.count world.ca "/newOrder")

let no_certificate () =
  in_world @@ fun world ->
  let acme = machine ~names:[ "metric.example" ] world (Acme.Store.memory ()) in
  let metric () = metric "metric.example" in
  check Alcotest.(option (float 0.)) "none" (Some 0.) (metric ());
  world.ca.validation_seconds <- 90.;
  ignore (start world acme);
  wait 60.;
  same "no failure during the attempt" 0 (Acme.status acme).failures;
  wait 240.;
  is "its end" true (has acme && metric () = end_of acme)

let faults_are_retried () =
  in_world @@ fun world ->
  let ca = world.ca in
  ca.bad_nonces <- 2;
  ca.unavailable <- 2;
  ca.unavailable_at <- Some "/newNonce";
  ca.cut <- 2;
  ca.validation_seconds <- 90.;
  ca.issue_seconds <- 120.;
  let reports = ref [] in
  let acme = machine ~reports world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 600.;
  check Alcotest.(list string) "failures" [] !reports;
  is "certificate" true (has acme);
  (* Polls back off. *)
  is "requests" true (List.length ca.requests < 100)

let problems_are_passed_on () =
  in_world @@ fun world ->
  let ca = world.ca in
  ca.rate_limited <- Some 7200;
  let acme = machine world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 7000.;
  mentions "rate limit" [ "newOrder"; "rateLimited"; "too many certificates" ] (failure acme);
  same "an order in two hours" 1 (Ca.count ca "/newOrder");
  ca.rate_limited <- None;
  wait 400.;
  is "later" true (has acme)

let retry_after_is_bounded () =
  in_world @@ fun world ->
  world.ca.rate_limited <- Some 10_000_000;
  let acme = machine world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 60.;
  is "a day at most" true ((Acme.status acme).next_attempt <= Soil.Clock.now () +. day)

(* The pauses between attempts grow, whatever the CA says: a minute, 4, 16, 64. *)
let retry_after_is_no_reason_to_hurry () =
  in_world @@ fun world ->
  world.ca.rate_limited <- Some 1;
  let acme = machine world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 5000.;
  same "orders" 4 (Ca.count world.ca "/newOrder");
  same "failures" 4 (Acme.status acme).failures

let a_lost_answer_to_finalize () =
  in_world @@ fun world ->
  world.ca.cut_at <- Some "/finalize";
  world.ca.issue_seconds <- 30.;
  let acme = machine world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 300.;
  is "certificate" true (has acme);
  same "orders" 1 (Ca.count world.ca "/newOrder")

(* URLs that lead elsewhere, and names that weren't ordered. *)
let lies_are_refused () =
  let refused lie what =
    in_world @@ fun world ->
    lie world.ca;
    let acme = machine world (Acme.Store.memory ()) in
    ignore (start world acme);
    wait 60.;
    mentions what [ what; "malformed" ] (failure acme)
  in
  refused (fun ca -> ca.scheme <- "https") "authorizations";
  refused (fun ca -> ca.other_name <- Some "other.example") "identifier"

let failed_challenges_are_told () =
  in_world @@ fun world ->
  let store = Acme.Store.memory () in
  let acme = machine world store in
  (* The CA reaches another machine, which doesn't share the store. *)
  ignore (machine world (Acme.Store.memory ()));
  ignore (start world acme);
  wait (2. *. day);
  mentions "challenge" [ "a.example"; "unauthorized"; "the server says" ] (failure acme);
  let orders = Ca.count world.ca "/newOrder" in
  (* After 1, 4, 16, 64, 256, 720, 720, 720 minutes, and up to a fifth more. *)
  is (Printf.sprintf "%d orders" orders) true (orders >= 6 && orders <= 9)

let bad_chains_change_nothing () =
  in_world @@ fun world ->
  let ca = world.ca in
  ca.lifetime <- 9. *. day;
  let acme = machine world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 60.;
  let first = end_of acme in
  is "first" true (first <> None);
  (* The renewal is due at a random time after 5.7 to 6 days. *)
  wait (5.6 *. day);
  ca.chain <- Other_key;
  wait (0.4 *. day);
  List.iter
    (fun (chain, why) ->
      ca.chain <- chain;
      wait day;
      is "the old one stays" true (end_of acme = first && metric "a.example" = first);
      mentions "why" [ why ] (failure acme);
      is "in a line" false (String.contains (failure acme) '\n'))
    Ca.
      [
        (Other_key, "for another key");
        (Other_names, "lacks some of the names");
        (Wrong_order, "hasn't signed the one before");
        (Empty, "the chain is empty");
        (Long, "more than 10 certificates");
        (Huge, "more than 131072 bytes");
        (Expired, "has ended");
      ];
  is "attempts" true ((Acme.status acme).failures > 5);
  ca.chain <- Good;
  wait day;
  is "renewed" true (end_of acme > first);
  same "failures" 0 (Acme.status acme).failures

(* Renewal *)

let renews_after_two_thirds () =
  in_world @@ fun world ->
  world.ca.lifetime <- 9. *. day;
  let acme = machine world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 60.;
  let first = end_of acme in
  wait (5.6 *. day);
  is "not yet" true (end_of acme = first);
  wait (0.5 *. day);
  is "renewed" true (end_of acme > first);
  same "orders" 2 (Ca.count world.ca "/newOrder")

let follows_ari () =
  in_world @@ fun world ->
  let ca = world.ca in
  let start_time = Soil.Clock.now () in
  ca.window <- Some (start_time +. (10. *. day), start_time +. (11. *. day));
  let acme = machine world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait (9.9 *. day);
  same "before the window" 1 (Ca.count ca "/newOrder");
  ca.window <- Some (start_time +. (10. *. day), start_time +. (10.5 *. day));
  wait (0.7 *. day);
  same "in the window" 2 (Ca.count ca "/newOrder");
  same "replaces" 1 (List.length ca.replaced);
  (* A window that stays in the past doesn't cause an order after the other. *)
  wait (3. *. day);
  is "no loop" true (Ca.count ca "/newOrder" <= 6)

(* A question in the days of a wrong clock doesn't delay the next one. *)
let asks_after_a_wrong_clock () =
  in_world @@ fun world ->
  let ca = world.ca in
  let start_time = Soil.Clock.now () in
  ca.window <- Some (start_time +. (50. *. day), start_time +. (51. *. day));
  ignore (start world (machine world (Acme.Store.memory ())));
  wait 60.;
  let questions () = Ca.count ca "/renewalInfo" in
  let before = questions () in
  Soil.Virtual_clock.run ~now:(start_time +. (10. *. day)) (fun () -> wait (day /. 2.));
  let meanwhile = questions () in
  is "asked" true (meanwhile > before);
  wait (day /. 2.);
  is "asked again" true (questions () > meanwhile)

(* Replaced meanwhile, by another account, or unknown to the CA. *)
let replaces_is_refused status () =
  in_world @@ fun world ->
  let ca = world.ca in
  let start_time = Soil.Clock.now () in
  ca.window <- Some (start_time +. (10. *. day), start_time +. (11. *. day));
  ca.refuses_replaces <- Some status;
  let acme = machine world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 60.;
  let first = end_of acme in
  wait (12. *. day);
  is "renewed" true (end_of acme > first);
  same "failures" 0 (Acme.status acme).failures

let restarts_wait () =
  in_world @@ fun world ->
  let store = Acme.Store.memory () in
  world.ca.rate_limited <- Some 3600;
  for _ = 1 to 20 do
    let task = start world (machine world store) in
    wait 30.;
    Soil.Task.cancel task;
    wait 1.
  done;
  same "orders" 1 (Ca.count world.ca "/newOrder")

let two_machines store () =
  in_world @@ fun world ->
  let store = store () in
  (* The second machine comes during the order. *)
  world.ca.issue_seconds <- 120.;
  world.ca.lifetime <- 9. *. day;
  let a = machine world store in
  (* The CA reaches this one. *)
  let b = machine ~names world store in
  ignore (start world a);
  wait 1.;
  ignore (start world b);
  wait 400.;
  is "both" true (has a && end_of a = end_of b);
  same "orders" 1 (Ca.count world.ca "/newOrder");
  same "accounts" 1 (Hashtbl.length world.ca.accounts);
  wait (6.5 *. day);
  same "orders" 2 (Ca.count world.ca "/newOrder");
  is "both renewed" true (end_of a = end_of b && end_of a > Some (Soil.Clock.now () +. (6. *. day)))

let the_other_machine_is_awaited () =
  in_world @@ fun world ->
  let store = Acme.Store.memory () in
  world.ca.issue_seconds <- 20.;
  let a = machine world store in
  let b = machine world store in
  ignore (start world a);
  wait 1.;
  ignore (start world b);
  (* Before the next attempt of [b], which is due after a minute. *)
  wait 50.;
  is "both" true (has a && end_of a = end_of b);
  same "failures" 0 (Acme.status b).failures

let names_are_added () =
  in_world @@ fun world ->
  let store = Acme.Store.memory () in
  let task = start world (machine ~names:[ "a.example" ] world store) in
  wait 60.;
  Soil.Task.cancel task;
  let acme = machine ~names world store in
  is "the old one meanwhile" true (has acme);
  ignore (start world acme);
  wait 300.;
  same "orders" 2 (Ca.count world.ca "/newOrder")

let external_account_is_bound () =
  in_world @@ fun world ->
  world.ca.external_key <- Some "secret";
  let acme = machine world (Acme.Store.memory ()) in
  let task = start world acme in
  wait 30.;
  mentions "without" [ "externalAccountRequired" ] (failure acme);
  Soil.Task.cancel task;
  let external_account = { Acme.kid = "k"; hmac_key = "c2VjcmV0" } in
  let acme = machine ~external_account world (Acme.Store.memory ()) in
  ignore (start world acme);
  wait 60.;
  is "with" true (has acme)

let store_failures () =
  in_world @@ fun world ->
  let inner = Acme.Store.memory () in
  let is_broken = ref true in
  let set key value =
    if !is_broken then Soil.Error.fail No_space "set" ~subject:key;
    inner.set key value
  in
  let acme = machine world { inner with set } in
  ignore (start world acme);
  wait 3600.;
  same "no orders" 0 (Ca.count world.ca "/newOrder");
  is_broken := false;
  wait 7200.;
  is "certificate" true (has acme)

let directory = ref 0

let in_directory () =
  incr directory;
  Acme.Store.directory (Printf.sprintf "/store/%d" !directory)

let in_kv () =
  incr directory;
  match Soil.Kv.connect (Printf.sprintf "/store/%d" !directory) with
  | Ok kv -> Acme.Store.kv kv (Soil.Kv.Key.v "/acme")
  | Error e -> failwith (Soil.Kv.error_to_string e)

let stores () =
  Soil.run @@ fun () ->
  List.iter
    (fun (store : Acme.Store.t) ->
      check Alcotest.(option string) "none" None (store.get "k");
      is "created" true (store.create "k" "1");
      is "created again" false (store.create "k" "2");
      store.set "k" "3";
      check Alcotest.(option string) "set" (Some "3") (store.get "k");
      store.remove "k";
      store.remove "k";
      check Alcotest.(option string) "removed" None (store.get "k"))
    [ in_directory (); in_kv (); Acme.Store.memory () ]

(* A stranger's first bytes *)

let hello = Ca.hello "a.example"

let hellos () =
  match Client_hello.parse hello with
  | Some { server_name; protocols } ->
      check Alcotest.(option string) "name" (Some "a.example") server_name;
      check Alcotest.(list string) "protocols" [ "acme-tls/1" ] protocols
  | None -> Alcotest.fail "a client hello"

let arbitrary_bytes =
  let open QCheck2.Gen in
  let changed =
    let+ at = int_bound (String.length hello - 1) and+ c = char in
    String.mapi (fun i old -> if i = at then c else old) hello
  in
  let cut = map (String.sub hello 0) (int_bound (String.length hello)) in
  let cell =
    QCheck2.Test.make ~count:5000 ~name:"bytes"
      (oneof [ string_size (int_bound 300); changed; cut ])
      (fun s ->
        ignore (Client_hello.parse s);
        true)
  in
  fun () -> QCheck2.Test.check_exn cell

let () =
  let test name f = Alcotest.test_case name `Quick f in
  Alcotest.run "soil-web.acme"
    [
      ("stores", [ test "get, set, create, remove" stores ]);
      ( "orders",
        [
          test "HTTP-01" (issues Acme.Http_01);
          test "TLS-ALPN-01" (issues Acme.Tls_alpn_01);
          test "without a certificate" no_certificate;
          test "faults are retried" faults_are_retried;
          test "problems are passed on" problems_are_passed_on;
          test "failed challenges" failed_challenges_are_told;
          test "bad chains change nothing" bad_chains_change_nothing;
          test "Retry-After is bounded" retry_after_is_bounded;
          test "a short Retry-After" retry_after_is_no_reason_to_hurry;
          test "a lost answer to finalize" a_lost_answer_to_finalize;
          test "lies are refused" lies_are_refused;
          test "external accounts" external_account_is_bound;
        ] );
      ( "renewals",
        [
          test "after two thirds" renews_after_two_thirds;
          test "by the CA's window" follows_ari;
          test "after a wrong clock" asks_after_a_wrong_clock;
          test "replaced meanwhile" (replaces_is_refused `Conflict);
          test "of another account" (replaces_is_refused `Forbidden);
          test "unknown to the CA" (replaces_is_refused `Internal_server_error);
          test "restarts wait" restarts_wait;
          test "more names" names_are_added;
          test "a store that fails" store_failures;
        ] );
      ("hellos", [ test "of TLS-ALPN-01" hellos; test "arbitrary bytes" arbitrary_bytes ]);
      ( "two machines",
        [
          test "one awaits the other" the_other_machine_is_awaited;
          test "in memory" (two_machines Acme.Store.memory);
          test "in a directory" (two_machines in_directory);
          test "in Kv" (two_machines in_kv);
        ] );
    ]
