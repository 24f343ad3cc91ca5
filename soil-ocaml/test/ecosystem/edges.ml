(* Printers, clocks and random numbers for other libraries. *)

let string = Alcotest.(check string)
let bool = Alcotest.(check bool)
let test name f = Alcotest.test_case name `Quick f

let printers () =
  let check expected pp v = string expected expected (Fmt.str "%a" pp v) in
  let e =
    {
      Soil.Error.code = Connection_refused;
      operation = "tcp connect";
      subject = "192.0.2.1:80";
      detail = "";
    }
  in
  check "tcp connect 192.0.2.1:80: connection refused" Soil_fmt.error e;
  check "tcp connect 192.0.2.1:80: connection refused" Soil_fmt.exn (Soil.Error e);
  check "not done in 1.5 s" Soil_fmt.exn (Soil.Task.Timeout 1.5);
  check "cancelled" Soil_fmt.exn Soil.Task.Cancelled;
  check "Stdlib.Exit" Soil_fmt.exn Exit;
  check "5" (Soil_fmt.result ~ok:Fmt.int) (Ok 5);
  check "tcp connect 192.0.2.1:80: connection refused" (Soil_fmt.result ~ok:Fmt.int) (Error e);
  check "connection refused" Soil_fmt.error_code Connection_refused;
  check "/a: not found" Soil_fmt.kv_error (`Not_found (Soil.Kv.Key.v "/a"));
  let a = Soil.Net.v4 192 0 2 7 in
  check "192.0.2.7" Soil_fmt.address a;
  check "192.0.2.7:80" Soil_fmt.endpoint (Soil.Net.endpoint a 80);
  check "192.0.2.7/24" Soil_fmt.prefix (a, 24);
  let mac = Soil.Net.Mac.of_string "02:00:00:00:00:01" in
  let interface =
    {
      Soil.Net.name = "eth0";
      mac;
      mtu = 1500;
      addresses = [ (a, 24); (Soil.Net.Address.of_string "2001:db8::7", 64) ];
      gateway = Some (Soil.Net.v4 192 0 2 1);
      name_servers = [ Soil.Net.v4 192 0 2 3 ];
    }
  in
  check
    "eth0 02:00:00:00:00:01 mtu 1500 192.0.2.7/24, 2001:db8::7/64 gateway 192.0.2.1 dns 192.0.2.3"
    Soil_fmt.interface interface;
  check "eth0 02:00:00:00:00:01 mtu 1500" Soil_fmt.interface
    { interface with addresses = []; gateway = None; name_servers = [] };
  check "1.5s" Soil_fmt.seconds 1.5;
  check "2us" Soil_fmt.seconds 2e-6;
  check "-1s" Soil_fmt.seconds (-1.);
  check "infs" Soil_fmt.seconds infinity;
  check "symlink" Soil_fmt.kind Soil.Fs.Symlink;
  let volume =
    {
      Soil.Fs.point = "/data";
      source = "disk data";
      health = Corrupt "no root";
      total = 2_000_000;
      free = 1_000_000;
      available = 0;
      unit_size = 4096;
    }
  in
  check "/data: disk data, corrupt (no root), 1MB of 2MB free" Soil_fmt.volume volume;
  check "2MB of 3MB in use, 1MB free, at most 2MB so far" Soil_fmt.memory
    { total = 3_000_000; in_use = 2_000_000; free = 1_000_000; high_water = 2_000_000 };
  check "web: ready\n" Soil_fmt.health
    [ { name = "web"; state = Ready; restarts = 0; last = None; children = [] } ]

let output () =
  let b = Buffer.create 10 in
  let w = Soil.Writer.create (Soil.Flow.to_buffer b) in
  let f = Soil_fmt.formatter w in
  Fmt.pf f "%a and %d" Soil_fmt.address Soil.Net.loopback 5;
  string "not written yet" "" (Buffer.contents b);
  Fmt.pf f "@.";
  string "written" "127.0.0.1 and 5\n" (Buffer.contents b)

let clocks () =
  let d, ps = Soil_mirage_clock.Pclock.now_d_ps () in
  let now = (float_of_int d *. 86_400.) +. (Int64.to_float ps *. 1e-12) in
  bool "the same time" true (Float.abs (now -. Soil.Clock.now ()) < 60.);
  bool "of one day" true (ps >= 0L && ps < 86_400_000_000_000_000L);
  let before = Soil_mirage_clock.Mclock.elapsed_ns () in
  Soil.Clock.sleep 0.001;
  let elapsed = Int64.sub (Soil_mirage_clock.Mclock.elapsed_ns ()) before in
  bool "counts nanoseconds" true (elapsed >= 1_000_000L);
  bool "mirage-ptime has the same" true
    (Float.abs (Ptime.to_float_s (Mirage_ptime.now ()) -. Soil.Clock.now ()) < 60.)

let random () =
  (match Mirage_crypto_rng.generate 1 with
  | _ -> Alcotest.fail "a generator"
  | exception Mirage_crypto_rng.No_default_generator -> ());
  Soil_mirage_crypto_rng.use_default ();
  Alcotest.(check int) "length" 1000 (String.length (Mirage_crypto_rng.generate 1000));
  bool "differ" false (Mirage_crypto_rng.generate 16 = Mirage_crypto_rng.generate 16);
  let b = Bytes.make 9 '.' in
  Mirage_crypto_rng.generate_into b ~off:2 5;
  string "the rest stays" "...." (Bytes.sub_string b 0 2 ^ Bytes.sub_string b 7 2);
  Alcotest.(check (list bool))
    "every value comes" [ true ]
    (List.sort_uniq compare
       (List.init 10 (fun n ->
            String.contains (Mirage_crypto_rng.generate 10_000) (Char.chr (25 * n)))))

let () =
  Alcotest.run "edges"
    [
      ("fmt", [ test "printers" printers; test "output" output ]);
      ("mirage", [ test "clocks" clocks; test "random" random ]);
    ]
