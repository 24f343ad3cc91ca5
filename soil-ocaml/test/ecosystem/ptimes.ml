let bool = Alcotest.(check bool)
let string = Alcotest.(check string)
let test name f = Alcotest.test_case name `Quick f
let text t = Ptime.to_rfc3339 ~frac_s:9 t

let files () =
  List.iter
    (fun (seconds, nanoseconds, expected) ->
      let time = { Soil.File.seconds; nanoseconds } in
      string "date" expected (text (Soil_ptime.of_time time));
      bool "and back" true (Soil_ptime.to_time (Soil_ptime.of_time time) = time))
    [
      (0, 0, "1970-01-01T00:00:00.000000000-00:00");
      (1, 999_999_999, "1970-01-01T00:00:01.999999999-00:00");
      (-1, 1, "1969-12-31T23:59:59.000000001-00:00");
      (-86_400, 0, "1969-12-31T00:00:00.000000000-00:00");
      (1_700_000_000, 5, "2023-11-14T22:13:20.000000005-00:00");
    ];
  match Soil_ptime.of_time { seconds = max_int / 1000; nanoseconds = 0 } with
  | _ -> Alcotest.fail "in the year 292,277,026"
  | exception Invalid_argument _ -> ()

let clock () =
  let before = Soil.Clock.now () in
  let now = Soil_ptime.to_float (Soil_ptime.now ()) in
  bool "now" true (before -. 0.001 <= now && now <= Soil.Clock.now () +. 0.001);
  string "of a float" "1970-01-01T00:00:01.500000000-00:00" (text (Soil_ptime.of_float 1.5));
  Soil_ptime.sleep_until Ptime.epoch

let () = Alcotest.run "ptime" [ ("times", [ test "files" files; test "clock" clock ]) ]
