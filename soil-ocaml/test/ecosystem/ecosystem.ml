let string = Alcotest.(check string)
let bool = Alcotest.(check bool)
let test name f = Alcotest.test_case name `Quick f

let addresses () =
  List.iter
    (fun s ->
      let a = Soil.Net.Address.of_string s in
      string "to ipaddr" s (Ipaddr.to_string (Soil_ipaddr.of_address a));
      bool "and back" true (Soil_ipaddr.to_address (Soil_ipaddr.of_address a) = a))
    [ "192.0.2.1"; "0.0.0.0"; "::"; "2001:db8::1" ];
  let e = Soil.Net.Endpoint.of_string "192.0.2.1:80" in
  bool "endpoint" true (Soil_ipaddr.to_endpoint (Soil_ipaddr.of_endpoint e) = e);
  let prefix length = Soil_ipaddr.of_prefix (Soil.Net.v4 192 0 2 77, length) in
  string "prefix" "192.0.2.77/24" (Ipaddr.Prefix.to_string (prefix 24));
  bool "too long" true (match prefix 33 with _ -> false | exception Invalid_argument _ -> true)

let times () =
  let before = Soil_mtime.now () in
  Soil_mtime.sleep Mtime.Span.(2 * ms);
  bool "slept" true (Mtime.Span.is_longer (Soil_mtime.elapsed_since before) ~than:Mtime.Span.ms);
  match Soil_mtime.timeout Mtime.Span.ms (fun () -> Soil.Clock.sleep 10.) with
  | () -> Alcotest.fail "no timeout"
  | exception Soil.Task.Timeout _ -> ()

let logs () =
  bool "known" true (Soil_logs.level_of_string "info" = Some Logs.Info);
  bool "unknown" true (Soil_logs.level_of_string "loud" = None);
  Soil_logs.setup ();
  bool "level" true (Logs.level () = Some Logs.Warning);
  Soil_logs.setup ~level:Logs.Info ();
  bool "the level that is given" true (Logs.level () = Some Logs.Info);
  Soil_logs.setup ();
  bool "it stays" true (Logs.level () = Some Logs.Info);
  Logs.set_level (Some Logs.Warning);
  let formatted = ref false in
  Logs.debug (fun m ->
      formatted := true;
      m "not shown");
  Logs.warn (fun m ->
      formatted := true;
      m "shown %d" 1);
  bool "formatted" true !formatted;
  string "printer" "Soil.Error: x: in use"
    (match Soil.Error.fail Busy "x" with () -> "" | exception e -> Printexc.to_string e)

(* What can't be written holds up nothing that can. *)
let failing_sink () =
  let written = ref [] and tries = ref 0 in
  let write text =
    incr tries;
    match text with
    | "long" -> Soil.Error.fail Message_too_long "send"
    | "mistake" -> failwith "expected by the test"
    | "later" when !tries < 5 -> Soil.Error.fail Unreachable "send"
    | text -> written := text :: !written
  in
  let format (m : Soil_logs.Sink.message) = m.text in
  let sink = Soil_logs.Sink.make ~name:"test" ~format ~write () in
  Soil.run (fun () ->
      Soil.Task.timeout 120. @@ fun () ->
      Soil.Task.scope @@ fun scope ->
      Soil_logs.setup ~reporter:(Soil_logs.Sink.reporter scope [ sink ]) ();
      List.iter (fun text -> Logs.warn (fun m -> m "%s" text)) [ "one"; "long"; "mistake"; "later" ];
      while List.length !written < 3 do
        Soil.Clock.sleep 0.01
      done);
  Logs.set_reporter Logs.nop_reporter;
  Alcotest.(check (list string))
    "written"
    [
      "one"; "later";
      "test: 2 messages were dropped: the queue was full, or they couldn't be written";
    ]
    (List.rev !written);
  Alcotest.(check int) "dropped" 2 (Soil_logs.Sink.dropped sink)
[@@ocamlformat "disable"]

(* Without memory a message is dropped, garbage is collected, and the next ones are written. *)
let exhausted_sink () =
  let collections () = (Soil.Budget.statistics ()).collections in
  let written = ref [] and before = collections () in
  let write text =
    if text = "large" then raise Out_of_memory;
    written := text :: !written
  in
  let format (m : Soil_logs.Sink.message) =
    if m.text = "larger" then raise Out_of_memory;
    m.text
  in
  let sink = Soil_logs.Sink.make ~name:"test" ~format ~write () in
  Soil.run (fun () ->
      Soil.Task.scope @@ fun scope ->
      Soil_logs.setup ~reporter:(Soil_logs.Sink.reporter scope [ sink ]) ();
      List.iter (fun text -> Logs.warn (fun m -> m "%s" text)) [ "large"; "larger"; "small" ]);
  Logs.set_reporter Logs.nop_reporter;
  bool "written" true (List.mem "small" !written);
  Alcotest.(check int) "dropped" 2 (Soil_logs.Sink.dropped sink);
  Alcotest.(check int) "collected, at most once a second" (before + 1) (collections ())

let syslog () =
  let message ?(max_length = 480) ?(text = "text") ?(source = "") ?(level = Logs.Error) ns =
    Soil_logs.Syslog.message ~facility:16 ~hostname:"" ~app_name:"a b" ~max_length
      { Soil_logs.Sink.time = ns; level; source; tags = []; text }
  in
  let second = 1_000_000_000 in
  List.iter
    (fun (ns, time) -> string time ("<131>1 " ^ time ^ " - a_b - - - text") (message ns))
    [
      (0, "1970-01-01T00:00:00.000000Z");
      (-1, "1969-12-31T23:59:59.999999Z");
      (951_782_399 * second, "2000-02-28T23:59:59.000000Z");
      ((951_782_400 * second) + 999_999_999, "2000-02-29T00:00:00.999999Z");
      (951_868_800 * second, "2000-03-01T00:00:00.000000Z");
      (4_102_444_799 * second, "2099-12-31T23:59:59.000000Z");
      (4_107_542_400 * second, "2100-03-01T00:00:00.000000Z");
    ];
  string "the level and the source" "<135>1 1970-01-01T00:00:00.000000Z - a_b - src - text"
    (message ~level:Debug ~source:"src" 0);
  let cut = message ~text:(String.concat "" (List.init 300 (fun _ -> "\u{e4}"))) 0 in
  bool "cut at a character" true (String.is_valid_utf_8 cut);
  bool "and no shorter than that" true (List.mem (String.length cut) [ 479; 480 ])

let () =
  Alcotest.run "ecosystem"
    [
      ( "types",
        [
          test "ipaddr" addresses;
          test "mtime" times;
          test "logs" logs;
          test "a sink that fails" failing_sink;
          test "a sink without memory" exhausted_sink;
          test "syslog" syslog;
        ] );
    ]
