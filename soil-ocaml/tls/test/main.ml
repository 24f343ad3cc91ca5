module Tls = Soil_tls
module D = Soil.File_descriptor
module Task = Soil.Task

let folder = "../../../tls/tests/certificates/"
let pem name = In_channel.with_open_bin (folder ^ name) In_channel.input_all
let pair name = (pem (name ^ ".pem"), pem (name ^ ".key"))
let roots = [ Tls.pem (pem "root.pem") ]
let client_config = Tls.client_config roots
let server_config = Tls.server_config (Tls.certificates [ pair "server" ])

(* Both ends of a connection, each in a task of its own. *)
let connected ?(client = client_config) ?(server = server_config) ?(host = "server.test") ?capacity
    of_client of_server =
  let a, b = Soil.Flow.pair ?capacity () in
  Task.both
    (fun () -> Tls.with_client client ~host a of_client)
    (fun () -> Tls.with_server server b of_server)

let text n = String.init n (fun i -> Char.chr (i * 7 / 3 land 255))
let check_text what expected got = Alcotest.(check bool) what true (String.equal expected got)

let text_goes_both_ways () =
  let large = text 1_000_000 in
  let echo, () =
    connected
      (fun c ->
        let send () =
          D.write_string c large;
          D.shutdown c `Send
        in
        fst (Task.both (fun () -> D.read_all c) send))
      (fun c -> ignore (D.copy ~src:c ~dst:c ()))
  in
  check_text "echo" large echo;
  let line, () =
    connected
      (fun c -> Soil.Reader.(line (create c)))
      (fun c -> D.writev c [ "one "; "line\n"; "and another\n" ])
  in
  Alcotest.(check string) "line" "one line" line

(* Records count for the client that doesn't take them. *)
let untaken_records () =
  let peer = Soil.Budget.create () in
  Fun.protect ~finally:(fun () -> Soil.Budget.release peer) @@ fun () ->
  let a, b = Soil.Flow.pair () and n = 1_000_000 in
  let rec until condition =
    if not (condition ()) then (
      Task.yield ();
      until condition)
  in
  let read c =
    until (fun () -> Soil.Budget.bytes peer > 65_536 + 16_384);
    String.length (D.read_all c)
  in
  let serve () = Tls.with_server server_config b (fun c -> D.write_string c (text n)) in
  let length, () =
    Task.both
      (fun () -> Tls.with_client client_config ~host:"server.test" a read)
      (fun () -> Soil.Budget.run peer serve)
  in
  Alcotest.(check int) "all" n length;
  Alcotest.(check int) "the session" 16_384 (Soil.Budget.bytes peer)

let versions_and_suites () =
  List.iter
    (fun (versions, version, suite) ->
      let client = Tls.client_config ~versions roots in
      let facts c =
        let known = String.starts_with ~prefix:suite (Tls.cipher_suite c) in
        (Tls.version c = version && known, Tls.protocol c)
      in
      let a, b = connected ~client facts facts in
      Alcotest.(check (pair bool (option string))) "client" (true, None) a;
      Alcotest.(check (pair bool (option string))) "server" (true, None) b)
    [
      (Tls.[ Tls_1_2; Tls_1_3 ], Tls.Tls_1_3, "TLS13_");
      (Tls.[ Tls_1_2 ], Tls.Tls_1_2, "TLS_ECDHE_ECDSA_WITH_");
    ]

let a_protocol_is_chosen () =
  let client = Tls.client_config ~protocols:[ "h2"; "http/1.1" ] roots in
  let server = Tls.server_config ~protocols:[ "http/1.1" ] (Tls.certificates [ pair "server" ]) in
  let both = connected ~client ~server Tls.protocol Tls.protocol in
  Alcotest.(check (pair (option string) (option string)))
    "both"
    (Some "http/1.1", Some "http/1.1")
    both

let sessions_are_resumed () =
  let client = Tls.client_config roots in
  let talk () =
    connected ~client
      (fun c ->
        ignore (D.read_all c);
        Tls.resumed c)
      (fun c ->
        D.write_string c "x";
        Tls.resumed c)
  in
  let results = List.init 3 (fun _ -> talk ()) in
  Alcotest.(check (list (pair bool bool)))
    "resumed"
    [ (false, false); (true, true); (true, true) ]
    results

let certificates_are_replaced_while_serving () =
  let certificates = Tls.certificates [ pair "server" ] in
  let server = Tls.server_config certificates in
  let shown host = fst (connected ~server ~host Tls.peer_name (fun _ -> ())) in
  Alcotest.(check (option string)) "first" (Some "CN=server") (shown "server.test");
  Tls.replace certificates [ pair "server"; pair "other" ];
  Alcotest.(check (option string)) "second" (Some "CN=other") (shown "other.test");
  (match Tls.replace certificates [ (pem "server.pem", pem "other.key") ] with
  | () -> Alcotest.fail "a wrong key"
  | exception Soil.Error.Error e ->
      Alcotest.(check string) "detail" "the private key isn't that of the certificate" e.detail);
  Alcotest.(check (option string)) "still" (Some "CN=other") (shown "other.test")

let failure f = match f () with _ -> Alcotest.fail "no error" | exception Soil.Error.Error e -> e

(* The errors of both ends. *)
let failures ?client ?server ?host () =
  let result f = match f () with _ -> None | exception Soil.Error.Error e -> Some e in
  let a, b = Soil.Flow.pair () in
  let client = Option.value client ~default:client_config in
  let server = Option.value server ~default:server_config in
  Task.both
    (fun () ->
      result (fun () -> Tls.client client ~host:(Option.value host ~default:"server.test") a))
    (fun () ->
      result (fun () ->
          let c = Tls.server server b in
          D.read_all c))

let errors_name_the_certificate () =
  let check what (ours : Soil.Error.t option) (code : Soil.Error.code) detail =
    match ours with
    | None -> Alcotest.fail (what ^ ": no error")
    | Some e ->
        Alcotest.(check bool) (what ^ ": code") true (e.code = code);
        Alcotest.(check string) (what ^ ": detail") detail e.detail
  in
  let issued = "the certificate of CN=server (serial 02, issued by CN=Root, O=Soil tests)" in
  let a, b = failures ~host:"wrong.test" () in
  check "host" a Certificate
    (issued ^ " isn't for \"wrong.test\": it is for server.test, *.wild.test, 10.0.0.9");
  check "alert" b Certificate
    "the peer sent the alert BadCertificate: it can't use this end's certificate";
  let a, _ = failures ~client:(Tls.client_config [ Tls.Mozilla.roots ]) () in
  check "Mozilla" a Certificate (issued ^ " has an issuer that isn't trusted: CN=Root, O=Soil tests");
  let revoked = Tls.server_config (Tls.certificates [ pair "revoked" ]) in
  let lists = Tls.client_config ~revoked:[ pem "revoked.crl" ] roots in
  let a, _ = failures ~client:lists ~server:revoked () in
  check "revoked" a Certificate
    "the certificate of CN=revoked (serial 05, issued by CN=Root, O=Soil tests) or one of its \
     issuers' is revoked";
  let asking = Tls.server_config ~clients:(`Required roots) (Tls.certificates [ pair "server" ]) in
  let _, b = failures ~server:asking () in
  check "none" b Certificate "peer sent no certificates";
  let showing = Tls.client_config ~certificates:(Tls.certificates [ pair "client" ]) roots in
  let (), name = connected ~client:showing ~server:asking (fun _ -> ()) Tls.peer_name in
  Alcotest.(check (option string)) "client" (Some "CN=client") name

let a_cut_is_told_from_the_end () =
  let a, b = Soil.Flow.pair () in
  let code, () =
    Task.both
      (fun () ->
        let c = Tls.client client_config ~host:"server.test" a in
        let e = failure (fun () -> D.read_all c) in
        D.close c;
        e.code)
      (fun () ->
        let c = Tls.server server_config b in
        D.write_string c "part";
        (* Without close_notify. *)
        D.close c)
  in
  Alcotest.(check bool) "reset" true (code = Connection_reset)

(* [d], whose input stalls for good after [n] bytes. *)
let stalling n d =
  let left = ref n in
  let read b off len =
    if !left = 0 then Task.Promise.await (Task.Promise.create ());
    let n = D.read d b off (min len !left) in
    left := !left - n;
    n
  in
  Soil.Flow.make ~read ~write:(D.write_some d)
    ~shutdown:(fun side -> D.shutdown d side)
    ~close:(fun () -> D.close d)
    ()

let a_stalled_handshake_is_ended_by_a_timeout () =
  List.iter
    (fun n ->
      List.iter
        (fun server_stalls ->
          let a, b = Soil.Flow.pair () in
          let a, b = if server_stalls then (stalling n a, b) else (a, stalling n b) in
          let timed f =
            match Task.timeout_opt 0.02 f with
            | None -> true
            | Some c ->
                D.close c;
                false
            | exception Soil.Error.Error _ -> false
          in
          let client, server =
            Task.both
              (fun () -> timed (fun () -> Tls.client client_config ~host:"server.test" a))
              (fun () -> timed (fun () -> Tls.server server_config b))
          in
          Alcotest.(check bool) (string_of_int n) true (if server_stalls then client else server);
          (* The flow below is closed with it. *)
          Alcotest.(check bool) "closed" false (D.is_open (if server_stalls then a else b)))
        [ true; false ])
    [ 0; 1; 5; 6; 60; 130; 150 ]

let a_cancelled_read_loses_nothing () =
  let sent = text 300_000 in
  let got, () =
    connected ~capacity:1000
      (fun c ->
        let all = Buffer.create 300_000 in
        let b = Bytes.create 1000 in
        let rec go () =
          match Task.timeout_opt 0.0001 (fun () -> D.read c b 0 1000) with
          | Some 0 -> ()
          | Some n ->
              Buffer.add_subbytes all b 0 n;
              go ()
          | None -> go ()
        in
        go ();
        Buffer.contents all)
      (fun c ->
        for i = 0 to 99 do
          D.write_string ~off:(i * 3000) ~len:3000 c sent;
          if i mod 10 = 0 then Soil.Clock.sleep 0.0003
        done)
  in
  check_text "all" sent got

let a_cancelled_write_keeps_what_it_took () =
  let sent = text 2_000_000 in
  let bytes = Bytes.unsafe_of_string sent in
  let taken, got =
    connected ~capacity:1000
      (fun c ->
        let rec go at turns =
          if turns = 0 then at
          else
            let write () = D.write_some c bytes at (min 50_000 (String.length sent - at)) in
            match Task.timeout_opt 0.0001 write with
            | Some n -> go (at + n) (turns - 1)
            | None -> go at (turns - 1)
        in
        go 0 60)
      (fun c ->
        Soil.Clock.sleep 0.002;
        D.read_all c)
  in
  Alcotest.(check int) "length" taken (String.length got);
  Alcotest.(check bool) "some" true (taken > 0);
  check_text "prefix" (String.sub sent 0 taken) got

let keys_are_updated_and_logged () =
  let log = Buffer.create 1000 in
  let client = Tls.client_config ~key_log:(Buffer.add_string log) roots in
  let got, () =
    connected ~client
      (fun c ->
        Tls.update_keys c;
        D.write_string c "behind new keys";
        D.shutdown c `Send;
        D.read_all c)
      (fun c -> ignore (D.copy ~src:c ~dst:c ()))
  in
  Alcotest.(check string) "echo" "behind new keys" got;
  let lines = String.split_on_char '\n' (Buffer.contents log) in
  Alcotest.(check bool)
    "logged" true
    (List.exists (String.starts_with ~prefix:"CLIENT_TRAFFIC_SECRET_0 ") lines)

let closing_wakes_the_reader () =
  let a, b = Soil.Flow.pair () in
  let code, () =
    Task.both
      (fun () ->
        let c = Tls.client client_config ~host:"server.test" a in
        let closer () =
          Soil.Clock.sleep 0.001;
          D.close c
        in
        let e, () =
          Task.both (fun () -> failure (fun () -> D.read c (Bytes.create 1) 0 1)) closer
        in
        e.code)
      (fun () ->
        let c = Tls.server server_config b in
        ignore (failure (fun () -> D.read_all c));
        D.close c)
  in
  Alcotest.(check bool) "closed" true (code = Closed)

let a_flow_without_tls_is_refused () =
  let a, b = Soil.Flow.pair () in
  Alcotest.check_raises "version" (Invalid_argument "Soil_tls.version: not a connection of TLS")
    (fun () -> ignore (Tls.version a));
  let e, () =
    Task.both
      (fun () -> failure (fun () -> Tls.server server_config a))
      (fun () ->
        D.write_string b "GET / HTTP/1.1\r\n\r\n";
        ignore (D.read_all b))
  in
  Alcotest.(check bool) "code" true (e.code = Tls);
  Alcotest.(check string) "detail" "the peer doesn't speak TLS (what it sent is no record)" e.detail

let () =
  let case = Check.in_run in
  Alcotest.run "tls"
    [
      ( "connections",
        [
          case "text goes both ways" text_goes_both_ways;
          case "records that nobody takes count" untaken_records;
          case "both versions are spoken" versions_and_suites;
          case "a protocol is chosen" a_protocol_is_chosen;
          case "sessions are resumed" sessions_are_resumed;
          case "certificates are replaced while serving" certificates_are_replaced_while_serving;
          case "errors name the certificate" errors_name_the_certificate;
          case "a cut is no end" a_cut_is_told_from_the_end;
          case "a stalled handshake is ended by a timeout" a_stalled_handshake_is_ended_by_a_timeout;
          case "a cancelled read loses nothing" a_cancelled_read_loses_nothing;
          case "a cancelled write keeps what it took" a_cancelled_write_keeps_what_it_took;
          case "keys are updated and logged" keys_are_updated_and_logged;
          case "closing wakes the reader" closing_wakes_the_reader;
          case "a flow without TLS is refused" a_flow_without_tls_is_refused;
        ] );
    ]
