(* The library's tests: equal events, named calls, bugs that are found, settings, errors. *)

open Runs

let run = run "./worlds.exe"
let test_equal world () = check_equal "./worlds.exe" [ world ]

let trace ~seed world =
  let file = Filename.temp_file "soil-sim-" ".trace" in
  Fun.protect ~finally:(fun () -> Sys.remove file) @@ fun () ->
  ignore (run ~variables:[ "SOIL_SIM_TRACE=" ^ file ] ~seed [ world ]);
  String.split_on_char '\n' (In_channel.with_open_text file In_channel.input_all)

(* The order of tasks that are ready at once is the seed's. *)
let test_order () =
  let order seed =
    let is_line event = contains event "\"k\":\"log\"" in
    field (List.find is_line (trace ~seed "race")) "text"
  in
  let orders = List.sort_uniq compare (List.init 10 (fun i -> order (i + 1))) in
  Alcotest.(check bool) (String.concat " " orders) true (List.length orders > 2)

(* The trace says where a router loses a frame. *)
let test_router () =
  let is_lost event =
    contains event "\"from\":\"outsider\",\"to\":\"router\"" && contains event "\"why\":\"nat\""
  in
  Alcotest.(check bool) "is seen" true (List.exists is_lost (trace ~seed:1 "nat"))

(* However far the program came, before a failure ends the run. *)
let test_killed () =
  let is_exit event = contains event "\"k\":\"exit\"" in
  check_string "killed" "SIGKILL" (field (List.find is_exit (trace ~seed:1 "last-words")) "how")

let test_struck () =
  let report = run [ "idle" ] in
  check_string report "passed" (verdict report);
  check_string "begun, and never struck" "0" (field report "kill in a turn")

let test_several () =
  let report = run [ "several" ] in
  check_string report "passed" (verdict report)

let test_ended () =
  let report = run ~seed:2 [ "ended" ] in
  check_string report "passed" (verdict report)

let test_stopped () =
  let report = run [ "stopped" ] in
  check_string report "passed" (verdict report);
  Alcotest.(check bool) "the fault happened" true (contains report "\"name\":\"stop\"")

let test_named (word, call) () =
  let report = run [ word ] in
  check_string report "nondeterministic" (verdict report);
  let message = field report "message" in
  Alcotest.(check bool) (message ^ ": names " ^ call) true (contains message call);
  check_string "the node" "careless" (field report "check")

(* A program that says that a number is durable before it is. *)
let test_found () =
  let fails seed =
    let report = run ~seed [ "early" ] in
    verdict report = "failed" && field report "check" = "durable"
  in
  Alcotest.(check bool) "is found" true (List.exists fails (List.init 20 succ))

let test_faults () =
  let only ids = run ~variables:[ "SOIL_SIM_FAULTS=" ^ ids ] [ "ext4" ] in
  let none = only "" in
  check_string none "passed" (verdict none);
  Alcotest.(check bool) "none" true (contains none "\"faults\":[]");
  let all = run [ "ext4" ] and one = only "2" in
  let second report = contains report "{\"id\":2,\"name\":\"power cut\"" in
  Alcotest.(check bool) "the same one" true (second all && second one);
  Alcotest.(check bool) "no other" false (contains one "\"id\":1,");
  check_string "the end" "1000000000"
    (field (run ~variables:[ "SOIL_SIM_UNTIL=1000000000" ] [ "ext4" ]) "virtual_ns")

(* By default clients go on into the calm part, so that operations follow each fault; a given number
   of them may be over before the first. *)
let test_load () =
  let workload world key =
    let report = run [ world ] in
    check_string report "passed" (verdict report);
    (int_of_string (field report key), report)
  in
  let last, report = workload "long-load" "last" in
  Alcotest.(check bool) report true (last > 24_900_000_000 && last < 25_000_000_000);
  check_string "late" "0" (field report "late");
  Alcotest.(check bool) report true (int_of_string (field report "returned") > 700);
  let last, report = workload "short-load" "last" in
  Alcotest.(check bool) report true (last < 2_000_000_000);
  check_string "of three clients" "30" (field report "returned");
  check_string "all are late" (field report "late") (field report "pause");
  Alcotest.(check bool) report true (field report "late" <> "0")

(* The effect is seen with the fault, and not without. *)
let test_effect name () =
  let run variables = Runs.run "./effects.exe" ~variables [ name ] in
  let with_fault = run [] and without = run [ "SOIL_SIM_FAULTS=" ] in
  check_string with_fault "passed" (verdict with_fault);
  check_string without "effect" (field without "check")

let faults =
  [
    "kill";
    "stop";
    "power cut";
    "power cut of all";
    "kill in a turn";
    "torn sectors";
    "bit rot";
    "disk errors";
    "slow disk";
    "full disk";
    "clock step";
    "leap second";
    "clock drift";
    "pause";
    "isolate";
    "partition";
    "one way";
    "slow reader";
    "corruption";
    "reordering";
    "slow link";
    "loss";
    "partition through a nat";
    "nat forgets";
    "late names";
    "silent names";
    "wrong names";
  ]

let test_error (arguments, verdict_, message) () =
  let report = run arguments in
  check_string report verdict_ (verdict report);
  Alcotest.(check bool) report true (contains report message)

let test_refused () =
  let refused world =
    let report = Runs.run "./refused.exe" [ "./worlds.exe"; world ] in
    check_string report "failed" (verdict report);
    Alcotest.(check bool) report true (contains report "seccomp(2) is refused")
  in
  (* A function of the test, and a program. *)
  List.iter refused [ "race"; "ext4" ]

let test_setting () =
  let report = run ~variables:[ "SOIL_SIM_FAULTS=1,x" ] [ "register" ] in
  check_string "no report" "" report

let calls =
  [
    ("file", "openat(\\\"/etc/hostname\\\")");
    ("directory", "openat(\\\"/tmp\\\")");
    ("time-of-file", "/etc/passwd");
    ("thread", "clone");
    ("process", "clone");
    ("command", "clone");
    ("socket", "socket: use Soil.Tcp");
    ("timer", "setitimer");
    ("counter", "rdtsc");
  ]

let errors =
  [
    ([ "broken" ], "failed", "no operation has returned a result: Failure(\\\"broken\\\")");
    ([ "hanging" ], "failed", "no operation has ended: end each after a time");
    ([ "unconnected" ], "failed", "no client has begun an operation: connect hasn't returned");
    ([ "empty" ], "error", "the world has no nodes: add one");
    ([ "program"; "./none.exe" ], "error", "no such file: build it");
    ([ "program"; "/bin/true" ], "failed", "isn't one of Soil");
    ([ "disk"; "/none.img" ], "error", "disk /none.img: No such file");
    ([ "no-ports" ], "error", "router: ~most is 1 to 32000 mappings");
    ([ "routers" ], "error", "node is behind two routers: give it one");
    ([ "disk"; "/dev/null" ], "error", "has no sectors");
  ]

let case name f = Alcotest.test_case name `Quick f

let () =
  let worlds = [ "own"; "race"; "idle"; "register"; "transfer"; "nat"; "ext4"; "fat"; "store" ] in
  Alcotest.run "soil-sim"
    [
      ("equal events", List.map (fun world -> case world (test_equal world)) worlds);
      ("calls are named", List.map (fun (word, call) -> case word (test_named (word, call))) calls);
      ("order", [ case "of tasks" test_order ]);
      ("nat", [ case "loses frames" test_router ]);
      ("killed", [ case "nodes end as such" test_killed ]);
      ( "delayed faults",
        [
          case "are counted when they strike" test_struck;
          case "wait side by side" test_several;
          case "start no program that has ended" test_ended;
          case "start a program that stops slowly" test_stopped;
        ] );
      ("effects of faults", List.map (fun name -> case name (test_effect name)) faults);
      ("bugs", [ case "said before it is durable" test_found ]);
      ("loads", [ case "last until the calm part" test_load ]);
      ("settings", [ case "faults and the end" test_faults; case "a wrong one" test_setting ]);
      ("no seccomp", [ case "is the reason" test_refused ]);
      ( "errors",
        List.map
          (fun (arguments, verdict, message) ->
            case (String.concat " " arguments) (test_error (arguments, verdict, message)))
          errors );
    ]
