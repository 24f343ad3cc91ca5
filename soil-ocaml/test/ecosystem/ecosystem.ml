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

let () =
  Alcotest.run "ecosystem"
    [ ("types", [ test "ipaddr" addresses; test "mtime" times; test "logs" logs ]) ]
