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
let canonical s = Option.map N.Address.to_string (N.Address.of_string_opt s)

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
        (Option.map N.Endpoint.to_string (N.Endpoint.of_string_opt s)))
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
  is_invalid "octets" (fun () -> N.Address.of_octets "123");
  is_invalid "address" (fun () -> N.Address.of_string "nonsense");
  bool "one address" true (N.Address.of_string "::ffff:1.2.3.4" = N.v4 1 2 3 4)

(* Groups are often zero, so that "::" has something to do. *)
let gen_address =
  let group = frequency [ (2, return "\000\000"); (1, string_size (return 2)) ] in
  map
    (fun l -> N.Address.of_octets (String.concat "" l))
    (frequency [ (3, list_size (return 8) group); (1, list_size (return 2) group) ])

let round_trip a = N.Address.of_string_opt (N.Address.to_string a) = Some a
let octets a = N.Address.of_octets (N.Address.to_octets a) = a

let endpoint_round_trip (a, port) =
  let e = N.endpoint a port in
  N.Endpoint.of_string_opt (N.Endpoint.to_string e) = Some e

let never_raises s =
  ignore (N.Address.of_string_opt s);
  ignore (N.Endpoint.of_string_opt s);
  true

let gen_nearly =
  string_size ~gen:(oneofl [ '0'; '1'; '9'; 'f'; ':'; ':'; '.'; '['; ']'; '%' ]) (int_bound 30)

module type VALUE = sig
  type t

  val to_string : t -> string
  val pp : Format.formatter -> t -> unit
  val equal : t -> t -> bool
  val compare : t -> t -> int
  val hash : t -> int
end

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
  = "soil_block_skew_bytecode" "soil_block_skew"
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

(* [pp] prints what [to_string] is; [compare], [equal] and [hash] agree. *)
let is_value (type a) (module V : VALUE with type t = a) (a, b) =
  Format.asprintf "<%a>" V.pp a = "<" ^ V.to_string a ^ ">"
  && V.equal a a
  && V.compare a a = 0
  && V.equal a b = (V.compare a b = 0)
  && V.equal a b = (V.to_string a = V.to_string b)
  && compare 0 (V.compare a b) = compare (V.compare b a) 0
  && ((not (V.equal a b)) || V.hash a = V.hash b)

let gen_endpoint = map (fun (a, port) -> N.endpoint a port) (pair gen_address (int_bound 3))

let gen_prefix =
  map
    (fun (a, n) -> N.Prefix.v a (n mod if N.Address.is_v4 a then 33 else 129))
    (pair gen_address (int_bound 128))

let gen_mac = map N.Mac.of_octets (string_size ~gen:(oneofl [ '\000'; '\x0f'; '\xff' ]) (return 6))

let gen_key =
  map
    (List.fold_left Soil.Kv.Key.add Soil.Kv.Key.empty)
    (list_size (int_bound 3) (oneofl [ "a"; "b"; "ab" ]))

let gen_error =
  map
    (fun (code, subject) -> { Soil.Error.code; operation = "open"; subject; detail = "" })
    (pair (oneofl [ Soil.Error.Busy; Io ]) (oneofl [ "x"; "y" ]))

let prefix_round_trip p = N.Prefix.of_string_opt (N.Prefix.to_string p) = Some p

let mac_round_trip m =
  N.Mac.of_octets (N.Mac.to_octets m) = m && N.Mac.(of_string (to_string m)) = m

(* A network has its own address, and the prefixes of the same length of what is in it are it. *)
let networks ((a, n), b) =
  let p = N.Prefix.v a n in
  let network = N.Prefix.network p in
  N.Prefix.mem a p && N.Prefix.mem network p
  && N.Prefix.mem b p = (N.Address.is_v4 a = N.Address.is_v4 b && N.Prefix.network (b, n) = network)

let prefixes () =
  let network s = N.Address.to_string (N.Prefix.network (N.Prefix.of_string s)) in
  string "in the middle of a byte" "192.0.2.64" (network "192.0.2.77/26");
  string "none" "0.0.0.0" (network "192.0.2.77/0");
  string "all" "192.0.2.77" (network "192.0.2.77/32");
  string "IPv6" "2001:db8::" (network "2001:db8::1/33");
  let mem a p = N.Prefix.mem (N.Address.of_string a) (N.Prefix.of_string p) in
  bool "in it" true (mem "10.255.0.1" "10.0.0.0/8");
  bool "not in it" false (mem "11.0.0.0" "10.0.0.0/8");
  bool "another family" false (mem "::" "0.0.0.0/0");
  List.iter
    (fun s -> bool s true (N.Prefix.of_string_opt s = None))
    [ "1.2.3.4"; "1.2.3.4/33"; "1.2.3.4/-1"; "1.2.3.4/08"; "1.2.3.4/8/8"; "::/129"; "/8"; "" ];
  is_invalid "length" (fun () -> N.Prefix.v N.any_v4 33);
  is_invalid "text" (fun () -> N.Prefix.of_string "x")

let macs () =
  let m = N.Mac.of_string "52:54:00:AB:cd:01" in
  string "small letters" "52:54:00:ab:cd:01" (N.Mac.to_string m);
  string "bytes" "RT\000\xab\xcd\001" (N.Mac.to_octets m);
  bool "one" false (N.Mac.is_multicast m);
  bool "a group" true (N.Mac.is_multicast (N.Mac.of_string "01:00:5e:00:00:01"));
  string "all" "ff:ff:ff:ff:ff:ff" (N.Mac.to_string N.Mac.broadcast);
  List.iter
    (fun s -> bool s true (N.Mac.of_string_opt s = None))
    [
      "";
      "52:54:00:ab:cd";
      "52:54:00:ab:cd:01:";
      "5:254:00:ab:cd:01";
      "52-54-00-ab-cd-01";
      "gg:54:00:ab:cd:01";
    ];
  is_invalid "text" (fun () -> N.Mac.of_string "x");
  is_invalid "bytes" (fun () -> N.Mac.of_octets "12345")

(* Vectors of FIPS 180-4 and of RFC 4231, §4. *)
let sha256 () =
  let module S = Soil.Sha256 in
  let hex s =
    String.concat ""
      (List.map (fun c -> Printf.sprintf "%02x" (Char.code c)) (List.of_seq (String.to_seq s)))
  in
  List.iter
    (fun (data, wanted) -> string wanted wanted (hex (S.digest data)))
    [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
      (String.make 1_000_000 'a', "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    ];
  List.iter
    (fun (key, data, wanted) -> string wanted wanted (hex (S.hmac ~key data)))
    [
      ( String.make 20 '\x0b',
        "Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" );
      ( "Jefe",
        "what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" );
      ( String.make 20 '\xaa',
        String.make 50 '\xdd',
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" );
      ( String.make 131 '\xaa',
        "Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" );
    ];
  string "an empty key" "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
    (hex (S.hmac ~key:"" ""));
  bool "no memory in common" true (S.digest "" <> S.digest "a");
  let in_domain = Domain.join (Domain.spawn (fun () -> S.digest "abc")) in
  string "in another domain" (hex (S.digest "abc")) (hex in_domain)

let gen_short = string_size ~gen:(oneofl [ 'a'; 'b'; '\xff' ]) (int_range 0 3)
let equality (a, b) = Soil.Sha256.equal a b = (a = b)

let tests =
  [
    test "errors" errors;
    test "addresses" addresses;
    test "endpoints" endpoints;
    test "networks" prefixes;
    test "addresses of Ethernet" macs;
    property "addresses are values" (pair gen_address gen_address) (is_value (module N.Address));
    property "endpoints are values" (pair gen_endpoint gen_endpoint) (is_value (module N.Endpoint));
    property "prefixes are values" (pair gen_prefix gen_prefix) (is_value (module N.Prefix));
    property "addresses of Ethernet are values" (pair gen_mac gen_mac) (is_value (module N.Mac));
    property "keys are values" (pair gen_key gen_key) (is_value (module Soil.Kv.Key));
    property "errors are values" (pair gen_error gen_error) (is_value (module Soil.Error));
    property "a prefix as text and back" gen_prefix prefix_round_trip;
    property "an address of Ethernet as text and back" gen_mac mac_round_trip;
    property "what is in a network" (pair gen_prefix gen_address) networks;
    test "names that need no server" names;
    test "clocks" clocks;
    test "buffers for disks" buffers;
    test "hashes" sha256;
    property "equal strings" ~count:2000 (pair gen_short gen_short) equality;
    property "an address as text and back" ~count:2000 gen_address round_trip;
    property "an address as octets and back" gen_address octets;
    property "an endpoint as text and back" (pair gen_address (int_bound 65535)) endpoint_round_trip;
    property "any text can be tried" ~count:5000 gen_nearly never_raises;
  ]
