(* Errors, addresses, and what else is a value. *)
open QCheck2.Gen
open Check
module N = Soil.Net

let errors () =
  let e code subject detail = { Soil.Error.code; operation = "tcp connect"; subject; detail } in
  string "plain" "tcp connect 10.0.0.9:80: connection refused"
    (Soil.Error.to_string (e Connection_refused "10.0.0.9:80" ""));
  string "detail" "tcp connect x: because" (Soil.Error.to_string (e Io "x" "because"));
  string "no subject" "tcp connect: timed out" (Soil.Error.to_string (e Timed_out "" ""));
  string "one line" "tcp connect a\\nb\\r: timed out"
    (Soil.Error.to_string (e Timed_out "a\nb\r" ""));
  bool "catch" true (Soil.Error.catch (fun () -> Soil.Error.fail Busy "x") |> Result.is_error);
  bool "catch passes others" true
    (match Soil.Error.catch (fun () -> raise Exit) with _ -> false | exception Exit -> true);
  bool "printer" true
    (Soil.Error.printer (Soil.Error (e Busy "" "")) = Some "Soil.Error: tcp connect: in use"
    && Soil.Error.printer Exit = None)

let address = Alcotest.(check (option string))
let canonical s = Option.map N.address_to_string (N.address_of_string_opt s)

let addresses () =
  List.iter
    (fun (s, expected) -> address s expected (canonical s))
    [
      ("192.0.2.1", Some "192.0.2.1");
      ("0.0.0.0", Some "0.0.0.0");
      ("255.255.255.255", Some "255.255.255.255");
      ("256.0.0.1", None);
      ("01.2.3.4", None);
      ("1.2.3", None);
      ("1.2.3.4.5", None);
      ("1.2.3.", None);
      ("1..2.3", None);
      ("+1.2.3.4", None);
      ("", None);
      ("::", Some "::");
      ("::1", Some "::1");
      ("1::", Some "1::");
      ("2001:0DB8::0001", Some "2001:db8::1");
      ("2001:db8:0:0:1:0:0:1", Some "2001:db8::1:0:0:1");
      ("2001:db8:0:1:1:1:1:1", Some "2001:db8:0:1:1:1:1:1");
      ("1:0:0:2:0:0:0:3", Some "1:0:0:2::3");
      ("::ffff:192.0.2.1", Some "192.0.2.1");
      ("64:ff9b::192.0.2.33", Some "64:ff9b::c000:221");
      ("1:2:3:4:5:6:7:8", Some "1:2:3:4:5:6:7:8");
      ("1:2:3:4:5:6:7", None);
      ("1:2:3:4:5:6:7:8:9", None);
      ("1::2::3", None);
      (":::", None);
      (":1", None);
      ("1:", None);
      ("12345::", None);
      ("g::", None);
      ("1:2:3:4:5:6:7::8", None);
      ("::1.2.3.4:5", None);
      ("1.2.3.4::", None);
      ("fe80::1%eth0", None);
    ]

let endpoints () =
  List.iter
    (fun (s, ok) ->
      address s
        (if ok then Some s else None)
        (Option.map N.endpoint_to_string (N.endpoint_of_string_opt s)))
    [
      ("192.0.2.1:80", true);
      ("[2001:db8::1]:65535", true);
      ("[::]:0", true);
      ("192.0.2.1", false);
      ("192.0.2.1:", false);
      ("192.0.2.1:65536", false);
      ("192.0.2.1:-1", false);
      ("[192.0.2.1]:80", false);
      ("2001:db8::1:80", false);
      ("[2001:db8::1]", false);
    ];
  is_invalid "port" (fun () -> N.endpoint N.any 65536);
  is_invalid "octet" (fun () -> N.v4 1 2 3 256);
  is_invalid "octets" (fun () -> N.address_of_octets "123");
  is_invalid "address" (fun () -> N.address_of_string "nonsense");
  bool "one address" true (N.address_of_string "::ffff:1.2.3.4" = N.v4 1 2 3 4)

(* Groups are often zero, so that "::" has something to do. *)
let gen_address =
  let group = frequency [ (2, return "\000\000"); (1, string_size (return 2)) ] in
  map
    (fun l -> N.address_of_octets (String.concat "" l))
    (frequency [ (3, list_size (return 8) group); (1, list_size (return 2) group) ])

let round_trip a = N.address_of_string_opt (N.address_to_string a) = Some a
let octets a = N.address_of_octets (N.address_to_octets a) = a

let endpoint_round_trip (a, port) =
  let e = N.endpoint a port in
  N.endpoint_of_string_opt (N.endpoint_to_string e) = Some e

let never_raises s =
  ignore (N.address_of_string_opt s);
  ignore (N.endpoint_of_string_opt s);
  true

let gen_nearly =
  string_size ~gen:(oneofl [ '0'; '1'; '9'; 'f'; ':'; ':'; '.'; '['; ']'; '%' ]) (int_bound 30)

let clocks () =
  let a = Soil.Clock.monotonic_ns () in
  Soil.Clock.sleep 0.005;
  let b = Soil.Clock.monotonic_ns () in
  bool "slept" true (b - a >= 5_000_000);
  bool "wall" true (Soil.Clock.now () > 1.6e9);
  is_invalid "not a number" (fun () -> Soil.Clock.sleep nan);
  Soil.Clock.sleep (-1.);
  Soil.Clock.sleep_until (Soil.Clock.monotonic () -. 1.)

let names () =
  List.iter
    (fun name -> is_invalid name (fun () -> Soil.Dns.lookup name))
    [ ""; "a b"; "-a.org"; "a..b"; String.make 64 'a'; "ä.org"; String.make 300 'a' ];
  bool "address" true (Soil.Dns.lookup "192.0.2.7" = [ N.v4 192 0 2 7 ]);
  bool "localhost" true (Soil.Dns.lookup "LocalHost" = [ N.loopback ]);
  fails_with "family" No_such_host (fun () -> Soil.Dns.lookup ~family:`V6 "192.0.2.7")

external skew : Soil.File_descriptor.buffer -> (int[@untagged]) -> (int[@untagged])
  = "soil_needs_native_code" "soil_block_skew"
[@@noalloc]

let buffers () =
  List.iter
    (fun n ->
      let b = Soil.Block.buffer n in
      Alcotest.(check int) "size" n (Bigarray.Array1.dim b);
      Bigarray.Array1.fill b 'x';
      Alcotest.(check int) "aligned" 0 (skew b 4096))
    [ 0; 1; 512; 4096; 100_000 ];
  Alcotest.check_raises "negative" (Invalid_argument "Soil.Block.buffer: negative size") (fun () ->
      ignore (Soil.Block.buffer (-1)))

let tests =
  [
    test "errors" errors;
    test "addresses" addresses;
    test "endpoints" endpoints;
    test "names that need no server" names;
    test "clocks" clocks;
    test "buffers for disks" buffers;
    property "an address as text and back" ~count:2000 gen_address round_trip;
    property "an address as octets and back" gen_address octets;
    property "an endpoint as text and back" (pair gen_address (int_bound 65535)) endpoint_round_trip;
    property "any text can be tried" ~count:5000 gen_nearly never_raises;
  ]
